"""How a conversation says what happened: operations, values and settlements, in the words of the protocol page."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from textwrap import wrap
from typing import NamedTuple

from msgspec import Raw

from sagamesh.log import registers
from sagamesh.log.registers import (
    NULL,
    Aborted,
    Absent,
    Cancelled,
    Cause,
    Done,
    Failed,
    Name,
    Notice,
    Register,
    Satisfied,
    Skipped,
    Start,
    Started,
    Undone,
    Value,
)
from sagamesh.protocol.attempt import Put, WriteRefused
from sagamesh.protocol.effects import Ack, Call, Nak, Tell

LONG_CALL = 60
"""Characters from which on a call's body has a line of its own."""
LONG_REASON = 90
"""Characters from which on the reason of a nak has lines of its own."""
UNWRITTEN = {WriteRefused.EXISTS: "refused", WriteRefused.GUARD: "no start", WriteRefused.UNKNOWN: "no reply"}
UNPROVEN = {WriteRefused.EXISTS: "proven before", WriteRefused.GUARD: "refused", WriteRefused.UNKNOWN: "no reply"}
"""Why a write, or a marker, was not stored. A refused marker: what it awaits is there."""


class Row(NamedTuple):
    """One line of what happened, or two: `more` goes below it. `step`: whose, where a delivery concerns several.

    Without a verb it is a summary, of `what` and `value` alone.
    """

    verb: str
    what: str
    result: str = ""
    value: str = ""
    step: str = ""
    more: str = ""


def said(blocks: Sequence[Sequence[Row]]) -> list[list[str]]:
    """The lines of each block. Columns are as wide as their widest cell in the whole conversation."""
    blocks = [list(_counted(block)) for block in blocks]
    rows = [row for block in blocks for row in block]
    names = _widest(row.what for row in rows if row.value and row.verb)
    summaries = _widest(row.what for row in rows if row.value and not row.verb)
    results = _widest(row.result for row in rows)
    return [
        [line for row in block for line in _lines(row, _margin(block, row), names if row.verb else summaries, results)]
        for block in blocks
    ]


def _counted(block: Iterable[Row]) -> Iterator[Row]:
    """What happens three times in a row, or more, is told once."""
    for row, group in groupby(block):
        same = list(group)
        if len(same) < 3:
            yield from same
        elif row.value:
            yield row._replace(value=f"{row.value}, {len(same)} times")
        else:
            yield row._replace(what=f"{row.what}, {len(same)} times")


def _margin(block: Sequence[Row], row: Row) -> str:
    """Whose row it is, where a delivery concerns several steps."""
    steps = _widest(other.step for other in block)
    return f"{row.step:{steps}}  " if steps and row.verb else ""


def _widest(cells: Iterable[str]) -> int:
    return max(map(len, cells), default=0)


def _lines(row: Row, margin: str, names: int, results: int) -> Iterator[str]:
    verb, result = (f"{row.verb:6} ", f"{row.result:{results}}  ") if row.verb else ("", "")
    cells = f"{row.what:{names}}  {result}{row.value}" if row.value else row.what
    yield f"{margin}{verb}{cells}".rstrip()
    for line in row.more.splitlines():
        yield f"{margin}{'':6} {line}"


def dotted(name: Name) -> str:
    return f"{name.step}.{name.register}"


def of_subject(subject: str) -> str:
    return dotted(registers.parse(subject)[1])


def value_of(value: Value) -> str:
    """What a register holds, in a few words."""
    match value:
        case Start(event=event, data=data):
            return event + _data(data)
        case Started(delivery=delivery):
            return f"started by {of_subject(delivery)}"
        case Skipped(delivery=delivery, because=because):
            return f"skipped ({because}) by {of_subject(delivery)}"
        case Done(event=event, data=data, deliveries=deliveries):
            return f"done: {event}{_data(data)}{_deliveries(deliveries)}"
        case Satisfied(event=event):
            return f"skipped, counts as {event}"
        case Failed(kind=kind, reason=reason, deliveries=deliveries):
            return f"failed ({kind}): {reason}{_deliveries(deliveries)}"
        case Cancelled(cause=cause) | Aborted(cause=cause) | Notice(cause=cause):
            return f"{word_of(value)}{_cause(cause)}"
        case Undone(deliveries=deliveries):
            return f"done{_deliveries(deliveries)}"
        case Absent(delivery=delivery, awaited=awaited):
            return f"of {of_subject(awaited)}, at {of_subject(delivery)}"
        case _:
            return word_of(value)


def word_of(value: Value) -> str:
    """What a register holds, in the one word that stands for it in the log."""
    return str(value.__struct_config__.tag)


def _data(data: Raw) -> str:
    return "" if data == NULL else f" {bytes(data).decode()}"


def _deliveries(count: int) -> str:
    return f", in {count} deliveries" if count > 1 else ""


def _cause(cause: Cause) -> str:
    """Whose failure it was, and why."""
    return f", {cause.step} {cause.kind}: {cause.reason}" if cause.step else f" by request: {cause.reason}"


def read(names: Iterable[Name], found: Iterable[Register]) -> Row:
    """What a read found; the registers that it did not are named, too."""
    there = {register.name for register in found}
    names = tuple(names)
    seen = ", ".join(dotted(name) for name in names if name in there)
    unseen = ", ".join(dotted(name) for name in names if name not in there)
    return Row("read", "; ".join(part for part in (seen, unseen and f"not {unseen}") if part))


def write(put: Put, given: Register | WriteRefused) -> Row:
    """What became of a write, or of the marker that proves an absence."""
    unstored = UNWRITTEN if put.absent is None else UNPROVEN
    result = f"stored {given.sequence}" if isinstance(given, Register) else unstored[given]
    if isinstance(put.value, Absent):
        return Row("prove", of_subject(put.value.awaited), result, f"absent at {of_subject(put.value.delivery)}")
    return Row("write", dotted(put.name), result, value_of(put.value) + (", guarded" if put.while_started else ""))


def call(call: Call) -> Row:
    """What the app is asked; below it, if that gets long, the body."""
    what, body = f"POST {call.path}", call.body.decode()
    if call.end is not None:
        what += f", of an action that is {call.end}" if call.end == "done" else ", of an action that failed"
    if body == "null":
        return Row("call", what)
    return Row("call", f"{what} {body}") if len(what) + len(body) < LONG_CALL else Row("call", what, more=body)


def tell(failed: Tell) -> Row:
    """What people are told of."""
    return Row("tell", f"{failed.place} failed: {failed.reason}")


def settled(result: Ack | Nak) -> Row:
    if isinstance(result, Ack):
        return Row("ack", "")
    least = f", not before {result.at_least:g} s" if result.at_least else ""
    delay = f"within {result.delay:g} s{least}"
    if len(result.reason) > LONG_REASON:
        return Row("nak", delay, more="\n".join(wrap(result.reason, LONG_REASON)))
    return Row("nak", delay + (f": {result.reason}" if result.reason else ""))


def in_short(name: Name, participant: str, rows: Iterable[Row]) -> Row:
    """A delivery that nothing disturbed, in one line: what was stored and called, and how it was settled."""
    steps = []
    for row in rows:
        if row.verb == "write" and row.result.startswith("stored"):
            steps.append(f"{row.what} {re.split(r'[ :,]', row.value)[0]}")
        elif row.verb == "call":
            steps.append(" ".join(row.what.split(" ", 2)[:2]).rstrip(","))
        elif row.verb in ("ack", "nak") and not row.step:
            steps.append(row.verb)
    return Row("", f"{dotted(name)} to {participant}", "", ", ".join(steps))


def log(found: Iterable[Register]) -> list[Row]:
    """The registers of an instance in their order, each with who wrote it."""
    return [Row(str(it.sequence), _in_log(it.name), it.participant, value_of(it.value)) for it in found]


def _in_log(name: Name) -> str:
    """Of a marker's long name only what its value does not say."""
    return f"{name.step}.absent" if name.register.startswith("absent.") else dotted(name)
