"""What an app's answer means: the two tables of `docs/protocol.md`, "The app", as two functions.

An answer is what came back from a call: a whole response, nobody there, or no way to know. The three are told apart by
what the app may have done. A meaning is what the decision makes of it. Nothing here knows whether the step may fail:
that is `decision`; nor what happens on the wire: that is the client of whoever calls. The sentences that people get are
made next door, in `reasons`; the event in an answer is read by `binding`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Raw, Struct

from sagamesh.errors import EventError
from sagamesh.log.registers import NULL
from sagamesh.protocol import binding, reasons
from sagamesh.text import is_digits

MAX_DATA = 256 * 1024
"""The most bytes that an event's data may have: a quarter of what a server of NATS takes in one message by default."""


class Answered(Struct, frozen=True):
    """A response, whatever its status. Header names are lower case; repeated ones are joined by ", ".

    `unread`: why the body is not here, where it has more bytes than anybody keeps. Only a success needs it.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    unread: str = ""


class Unanswered(Struct, frozen=True):
    """Sent, at least in part, and no usable response came: the app may have acted. `reason` is for people."""

    reason: str


class Away(Struct, frozen=True):
    """Nobody listens: no connection came about, hence nothing was sent, and the app did nothing."""


Answer = Answered | Unanswered | Away


class Success(Struct, frozen=True):
    """The action is done. `event` is the app's own choice among the step's events, if it made one."""

    data: Raw
    event: str | None = None


class Refusal(Struct, frozen=True):
    """The app did nothing and never will. `reason`: in its words; `told`: with the call, where it is asked again."""

    reason: str
    told: str


class Again(Struct, frozen=True):
    """To be called again, not before `after` seconds.

    `refused`: the app did nothing yet; `unknown`: it may have acted.
    """

    kind: Literal["refused", "unknown"]
    reason: str
    after: float = 0.0


AnswerMeaning = Success | Refusal | Again | Away

APP_AWAY = "the app is away"
"""Why nobody is called, where nobody listens."""

NOT_YET = frozenset({404, 408, 409, 425, 429})
"""Statuses by which an app says that it did nothing yet."""

MISWIRED = frozenset({*range(300, 400), 401, 405, 406, 407, 415})
"""Statuses that are no word of the business: something between us and the app, or a framework before it, has answered.
"""

PARTIAL = "no whole answer"
"""Of 206, 207 and whatever else is a success without being all of one."""


def judge_action(answer: Answer, path: str) -> AnswerMeaning:
    """What an answer to an action means. `path`: where it was called."""
    if not isinstance(answer, Answered) or is_away(answer):
        return _unreached(answer, path)
    status = answer.status
    if status in (200, 201, 204):
        return _success(answer, path)
    if status in NOT_YET or status in MISWIRED:
        return Again("refused", reason(answer, path), retry_after(answer))
    if status >= 500:
        return Again("unknown", reason(answer, path), retry_after(answer))
    if status >= 400:
        told = reason(answer, path)
        return Refusal(reasons.words(answer.headers, answer.body) or told, told)
    unusable = "asynchronous steps are not built yet; answer 200 when the work is done" if status == 202 else PARTIAL
    return Again("unknown", f"POST {path} answered {status}: {unusable}")


def judge_compensation(answer: Answer, path: str) -> AnswerMeaning:
    """What an answer to a compensation means: undone, or again for ever. `path`: where it was called.

    A 404 proves nothing: every framework answers it to a slip in a path.
    """
    if not isinstance(answer, Answered) or is_away(answer):
        return _unreached(answer, path)
    if answer.status == 202:
        return Again("unknown", f"POST {path} answered 202: not undone yet", retry_after(answer))
    if 200 <= answer.status < 300 or answer.status == 410:
        return Success(NULL)
    return Again("unknown", reason(answer, path), retry_after(answer))


def is_miswired(answer: Answer, *, compensation: bool) -> bool:
    """Whether an answer shows a mistake of wiring, which people should hear of at once: nothing else will mend it."""
    if not isinstance(answer, Answered):
        return False
    return answer.status in MISWIRED or (compensation and answer.status == 404)


def _unreached(answer: Answer, path: str) -> Again | Away:
    return Again("unknown", f"POST {path}: {answer.reason}") if isinstance(answer, Unanswered) else Away()


def _success(answer: Answered, path: str) -> Success | Again:
    about = f"POST {path} answered {answer.status}"
    if answer.unread:
        return Again("unknown", f"{about}, which cannot be used: {answer.unread}")
    if len(answer.body) > MAX_DATA:
        return Again("unknown", f"{about} with {len(answer.body)} bytes; an event's data may have {MAX_DATA}")
    try:
        event, data = binding.answered(answer.headers, answer.body)
    except EventError as error:
        return Again("unknown", f"{about}, which cannot be used: {error}{reasons.kind(answer.headers, answer.body)}")
    return Success(data, event)


def reason(answer: Answered, path: str) -> str:
    """A sentence for people: which call was answered how, and in which words."""
    return reasons.told(path, answer.status, answer.headers, answer.body)


def retry_after(answer: Answered) -> float:
    """Seconds of `Retry-After`, at most a minute; its form as a date counts as not given."""
    text = answer.headers.get("retry-after", "")
    return min(float(text), 60.0) if is_digits(text) else 0.0


def is_away(answer: Answer) -> bool:
    """Whether an answer says that the app is not there for a call: nobody listens, or it says so itself (503)."""
    return isinstance(answer, Away) or is_away_there(answer)


def is_away_there(answer: Answer) -> bool:
    """Whether the app itself says that it is not there for what was asked (503). It may be for all else."""
    return isinstance(answer, Answered) and answer.status == 503


def why_away(answer: Answer, path: str) -> str:
    """Of an answer that says so, in a sentence for people. `path`: where the app was called."""
    return reason(answer, path) if isinstance(answer, Answered) else APP_AWAY
