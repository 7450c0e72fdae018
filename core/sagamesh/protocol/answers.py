"""What an app's answer means: the tables of section "What the sidecar asks of the app", as two functions.

An answer is what came back from a call: a whole response, nobody there, or no way to know. The three are told apart by
what the app may have done. A meaning is what the decision makes of it. Nothing here knows whether the step may fail:
that is `decision`; nor what happens on the wire: that is the client of whoever calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Raw, Struct

from sagamesh.errors import EventError
from sagamesh.log import payload
from sagamesh.log.registers import NULL
from sagamesh.text import is_digits

MAX_DATA = 256 * 1024
"""The most bytes that an event's data may have: a quarter of what a server of NATS takes in one message by default."""


class Answered(Struct, frozen=True):
    """A whole response, whatever its status. Header names are lower case; repeated ones are joined by ", "."""

    status: int
    headers: Mapping[str, str]
    body: bytes


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
    """The app did nothing and never will."""

    reason: str


class Again(Struct, frozen=True):
    """To be called again, not before `after` seconds.

    `refused`: the app did nothing yet; `unknown`: it may have acted.
    """

    kind: Literal["refused", "unknown"]
    reason: str
    after: float = 0.0


AnswerMeaning = Success | Refusal | Again | Away

NOT_YET = frozenset({404, 408, 409, 425, 429})
"""Statuses by which an app says that it did nothing yet."""

GONE = frozenset({404, 410})
"""Statuses by which an app says that there is nothing to undo."""


def judge_action(answer: Answer) -> AnswerMeaning:
    """What an answer to an action means."""
    if isinstance(answer, Away) or is_away(answer):
        return Away()
    if isinstance(answer, Unanswered):
        return Again("unknown", answer.reason)
    status = answer.status
    if status in (200, 201, 204):
        return _success(answer)
    if status in NOT_YET:
        return Again("refused", reason(answer), retry_after(answer))
    if status >= 500:
        return Again("unknown", reason(answer), retry_after(answer))
    if status == 202:
        return Again("unknown", "202 Accepted: asynchronous steps are not built yet; answer 200 when the work is done")
    if 300 <= status < 500:
        return Refusal(reason(answer))
    return Again("unknown", f"status {status} is not an answer that can be used")


def judge_compensation(answer: Answer) -> AnswerMeaning:
    """What an answer to a compensation means: done, or again for ever."""
    if isinstance(answer, Away) or is_away(answer):
        return Away()
    if isinstance(answer, Unanswered):
        return Again("unknown", answer.reason)
    if 200 <= answer.status < 300 or answer.status in GONE:
        return Success(NULL)
    return Again("unknown", reason(answer), retry_after(answer))


def _success(answer: Answered) -> Success | Again:
    if len(answer.body) > MAX_DATA:
        return Again("unknown", f"the answer has {len(answer.body)} bytes; an event's data may have {MAX_DATA}")
    event = answer.headers.get("ce-type") or None
    if not answer.body.strip():
        return Success(NULL, event)
    try:
        payload.read(answer.body)
    except EventError as error:
        return Again("unknown", f"the body of the {answer.status} answer is {error}")
    return Success(Raw(answer.body), event)


def reason(answer: Answered) -> str:
    """A sentence for people: the problem detail (RFC 9457), of it at most 500 characters, else the status."""
    try:
        problem = payload.read(answer.body)
    except EventError:
        problem = None
    if isinstance(problem, dict):
        for field in ("detail", "title", "reason", "error"):
            if isinstance(problem.get(field), str) and problem[field].strip():
                return str(problem[field])[:500]
    return f"status {answer.status}"


def retry_after(answer: Answered) -> float:
    """Seconds of `Retry-After`, at most a minute; its form as a date counts as not given."""
    text = answer.headers.get("retry-after", "")
    return min(float(text), 60.0) if is_digits(text) else 0.0


def is_away(answer: Answer) -> bool:
    """Whether an answer says that the app is not there: nobody listens, or it says so itself (503)."""
    return isinstance(answer, Away) or (isinstance(answer, Answered) and answer.status == 503)
