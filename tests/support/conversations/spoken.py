"""The commands of a conversation, read and carried out. `tests/conversations/README.md` describes what can be said.

`talk` does it; nothing is known here of what comes of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from sagamesh import durations
from sagamesh.log.registers import Aborted, Cause, Committed, Dead, Notice, Skipped, Undone, Value
from sagamesh.protocol import commands
from sagamesh.protocol.answers import Answer, Answered, Away, Unanswered
from sagamesh.simulation.world import HANDLERS, Handlers
from support.builders import attempts
from support.conversations import wording
from support.conversations.script import ScriptError, name_of, read
from support.conversations.speaker import FATES, Conditions
from support.conversations.talk import ImpossibleError, Talk
from support.conversations.wording import Row

Command = Callable[..., None]

UNSEEN = "unseen"
"""Of a register: the next read does not find it, though it may be there."""
CANNOT = "cannot"
"""Begins the line of what cannot happen."""


def play(text: str, handlers: Handlers = HANDLERS, kind: type[Talk] = Talk) -> str:
    """The conversation, with what happens now. Raises ScriptError for what cannot be read.

    What cannot happen is told as well: a wrong protocol makes many a command senseless.
    """
    script = read(text)
    talk = kind(script.saga, handlers)
    blocks = []
    for place in script.commands:
        talk.rows = []
        try:
            say(talk, script.lines[place])
        except ImpossibleError as error:
            talk.rows.append(Row(CANNOT, str(error)))
        blocks.append(talk.rows)
    return script.played(wording.said(blocks))


def say(talk: Talk, line: str) -> None:
    """Carry out one command."""
    for pattern, command in COMMANDS:
        if said := pattern.fullmatch(line):
            command(talk, **{name: text for name, text in said.groupdict().items() if text is not None})
            return
    raise ScriptError(f"this is no command: {line}")


def start(talk: Talk, data: str = "null", conditions: str = "") -> None:
    value = attempts.start(msgspec.json.decode(data))
    digest = commands.digest(value.event, value.data)
    talk.start(msgspec.structs.replace(value, digest=digest), conditions_of(conditions))


def cancel(talk: Talk, reason: str, conditions: str = "") -> None:
    talk.cancel(reason, conditions_of(conditions))


def deliver(talk: Talk, register: str, who: str, replica: str = "1", conditions: str = "") -> None:
    talk.deliver(name_of(register), who, int(replica), conditions_of(conditions))


def answer(talk: Talk, step: str, said: str, replica: str = "1", after: str = "0s", conditions: str = "") -> None:
    talk.answer(step, int(replica), answer_of(said), durations.parse(after), conditions_of(conditions))


def go_on(talk: Talk, who: str, replica: str = "1", conditions: str = "") -> None:
    talk.go_on(who, int(replica), conditions_of(conditions))


def crash(talk: Talk, who: str, replica: str = "1") -> None:
    talk.crash(who, int(replica))


def lose_lease(talk: Talk, who: str, replica: str = "1") -> None:
    talk.lose_lease(who, int(replica))


def arrive(talk: Talk, register: str) -> None:
    talk.arrive(name_of(register))


def carry_on(talk: Talk, until: str = "") -> None:
    talk.carry_on(name_of(until) if until else None)


def forge(talk: Talk, register: str, how: str = "", by: str = "") -> None:
    """A begin is forged for a delivery; an end is dead; a notice or an outcome says that the saga is aborted.

    An outcome may also say that it is committed.
    """
    name = name_of(register)
    cause = Cause("cancelled", "forged")
    forged: dict[str, Value] = {
        "abort": Notice(cause),
        "outcome": Committed() if how else Aborted(cause),
        "end": Dead(),
        "compensation": Undone(),
    }
    if by:
        started = attempts.started(name_of(by))
        forged["begin"] = Skipped(started.delivery, "dead") if how == "skipped" else started
    talk.forge(name, forged[name.register])


def delete(talk: Talk) -> None:
    talk.delete()


def end(talk: Talk) -> None:
    talk.end()


COMMANDS: tuple[tuple[re.Pattern[str], Command], ...] = tuple(
    (re.compile(pattern), command)
    for pattern, command in (
        (r"start(?: (?P<data>\{.*?\}))?(?:, (?P<conditions>.*))?", start),
        (r"cancel: (?P<reason>[^,]+)(?:, (?P<conditions>.*))?", cancel),
        (r"deliver (?P<register>\S+) to (?P<who>\w+)(?:/(?P<replica>\d))?(?:, (?P<conditions>.*))?", deliver),
        (
            r"(?P<step>\w+)(?:/(?P<replica>\d))? answers (?P<said>.+?)(?:, after (?P<after>\w+))?"
            r"(?:, then (?P<conditions>.*))?",
            answer,
        ),
        (r"(?P<step>\w+)(?:/(?P<replica>\d))? (?P<said>is away)(?:, then (?P<conditions>.*))?", answer),
        (r"(?P<who>\w+)(?:/(?P<replica>\d))? goes on(?:, (?P<conditions>.*))?", go_on),
        (r"(?P<who>\w+)(?:/(?P<replica>\d))? crashes", crash),
        (r"(?P<who>\w+)(?:/(?P<replica>\d))? loses its lease", lose_lease),
        (r"(?P<register>\S+) arrives", arrive),
        (r"carry on(?: until (?P<until>\S+))?", carry_on),
        (r"forge (?P<register>_\.abort|_\.outcome|\w+\.end|\w+\.compensation)(?P<how> committed)?", forge),
        (r"forge (?P<register>\w+\.begin) (?P<how>started|skipped) by (?P<by>\S+)", forge),
        (r"delete the instance", delete),
        (r"log", end),
    )
)


def answer_of(said: str) -> Answer:
    """`200 {"id":7}`, `200 as a.b`, `307 to /a/`, `422 sold out`, `429 busy, retry after 3s`; `nothing`, `is away`."""
    if said == "nothing":
        return Unanswered("time-out")
    if said == "is away":
        return Away()
    parsed = re.fullmatch(
        r"(\d{3})(?: (\{.*?\}))?(?: as (\S+))?(?: to (/\S*))?(?: ([^,]+))?(?:, retry after (\d+)s)?", said
    )
    if parsed is None:
        raise ScriptError(f"{said!r} is no answer")
    status, data, event, location, detail, again = parsed.groups()
    body = data.encode() if data else b""
    if detail:
        body = msgspec.json.encode({"detail": detail})
    headers = {"ce-type": event, "location": location, "retry-after": again}
    return Answered(int(status), {name: value for name, value in headers.items() if value}, body)


def conditions_of(text: str) -> Conditions:
    """`charge.begin unconfirmed, stock.end unseen twice`: what the log does to whom it is said to, where it stops."""
    conditions = Conditions()
    for part in filter(None, text.split(", ")):
        match part.split(" "):
            case ["late"]:
                conditions.late = True
            case ["app", "away"]:
                conditions.app_away = True
            case ["lease", "lost"]:
                conditions.lease_lost = True
            case ["knowing", register]:
                conditions.knows.append(name_of(register))
            case ["until", register]:
                conditions.until = name_of(register)
            case ["until", register, "again"]:
                conditions.until, conditions.let_pass = name_of(register), 1
            case _:
                _strike(conditions, part)
    return conditions


def _strike(conditions: Conditions, part: str) -> None:
    """What becomes of the next reads or writes of a register."""
    said = re.fullmatch(r"(\S+) (\D+?)(?: (twice|(\d+) times))?", part)
    if said is None or said[2] not in (UNSEEN, *FATES):
        raise ScriptError(f"{part!r} cannot be said of a command")
    name, often = name_of(said[1]), int(said[4] or (2 if said[3] else 1))
    if said[2] == UNSEEN:
        conditions.unseen[name] += often
    else:
        conditions.fates.setdefault(name, []).extend([said[2]] * often)
