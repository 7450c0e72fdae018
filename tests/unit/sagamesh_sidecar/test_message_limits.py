"""What a log can take, and that each register at its largest is no more: or its step would be tried for ever."""

from __future__ import annotations

import pytest
from msgspec import Raw, json

from sagamesh.distribution.topology import MAX_MESSAGE
from sagamesh.log import codec, registers
from sagamesh.log.registers import (
    ABORT,
    FINISH,
    NULL,
    OUTCOME,
    START,
    Aborted,
    Absent,
    Cancelled,
    Cause,
    Committed,
    Compensated,
    Completed,
    Dead,
    Done,
    Failed,
    Instance,
    Name,
    Nothing,
    Notice,
    Origin,
    Satisfied,
    Skipped,
    Start,
    Started,
    Undone,
    Value,
)
from sagamesh.protocol.answers import MAX_DATA, Answered, Success, judge_action
from sagamesh.protocol.binding import MAX_ATTRIBUTE
from sagamesh_sidecar import message_limits
from sagamesh_sidecar.message_limits import OversizedError

LABEL = "x" * 63
OTHER = "y" * 63
WIDE = "\U0001f4b8"
ESCAPED = "\x01"  # six characters in JSON, as no other one
EVENT = "e" * 128
PLACE = Instance(LABEL, LABEL, "i" * 64)
ORIGIN = Origin("f" * 16, 2**63, 1234567890.123456789, "f" * 10, "p" * 253, "f" * 12 + "-" + "9" * 19)
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
MARKER = registers.marker(LABEL, 2**63, registers.compensation(OTHER))
DELIVERY = PLACE.subject(registers.compensation(OTHER))


def text_of(sign: bytes) -> Raw:
    """As many bytes of data as there may be, of nothing but one kind of character."""
    return Raw(b'"' + sign * ((MAX_DATA - 2) // len(sign)) + b'"')


DATA = [text_of(sign) for sign in (b"x", b"\\u0001", b'\\"', WIDE.encode(), b"\\ud83d\\udcb8", b"\xc3\xa4")]
CAUSES = [Cause(kind, sign * 500, LABEL) for kind in ("refused", "cancelled") for sign in (WIDE, ESCAPED, '"')]
LARGEST: list[tuple[Name, Value]] = [
    *((START, Start(EVENT, sign * MAX_ATTRIBUTE, sign * MAX_ATTRIBUTE, "f" * 64, data, "t" * 256)) for data in DATA
      for sign in (WIDE, '"', "\\")),
    *((registers.end(LABEL), Done(EVENT, data, 2**63, 2**63)) for data in DATA),
    *((registers.end(LABEL), Failed("refused", sign * 500, 2**63, 2**63)) for sign in (WIDE, ESCAPED, '"')),
    (registers.end(LABEL), Satisfied(EVENT)),
    (registers.end(LABEL), Dead()),
    (registers.begin(LABEL), Started(DELIVERY)),
    (registers.begin(LABEL), Skipped(DELIVERY, "when")),
    *((registers.begin(LABEL), Cancelled(cause)) for cause in CAUSES),
    *((OUTCOME, Aborted(cause)) for cause in CAUSES),
    *((ABORT, Notice(cause)) for cause in CAUSES),
    (OUTCOME, Committed()),
    (registers.compensation(LABEL), Undone(2**63, 2**63)),
    (registers.compensation(LABEL), Nothing()),
    (FINISH, Completed()),
    (FINISH, Compensated()),
    (MARKER, Absent(DELIVERY, PLACE.subject(registers.compensation(OTHER)))),
]  # fmt: skip
SMALL = 8 * 1024
"""Bytes of a register without data of the app's: what even a server for tiny messages takes."""


def size(name: Name, value: Value) -> int:
    """Bytes of the message, with the headers that a guard adds. Found by asking for room until it is enough."""
    headers, body = codec.encode(name, value, ORIGIN, LABEL, TRACE)
    headers["Nats-Expected-Last-Subject-Sequence"] = str(2**63)
    headers["Nats-Expected-Last-Subject-Sequence-Subject"] = DELIVERY
    with pytest.raises(OversizedError) as caught:
        message_limits.check(PLACE.subject(name), headers, body, 0)
    message_limits.check(PLACE.subject(name), headers, body, caught.value.size)
    return caught.value.size


@pytest.mark.parametrize(("name", "value"), LARGEST, ids=lambda value: type(value).__name__)
def test_a_register_at_its_largest_can_be_stored(name: Name, value: Value) -> None:
    assert size(name, value) <= (MAX_MESSAGE if getattr(value, "data", NULL) != NULL else SMALL)


def test_every_kind_of_register_is_among_them() -> None:
    def leaves(kind: type[Value]) -> set[type[Value]]:
        return {leaf for below in kind.__subclasses__() for leaf in leaves(below)} or {kind}

    assert {type(value) for _, value in LARGEST} == leaves(Value)


@pytest.mark.parametrize("data", DATA, ids=lambda data: repr(bytes(data)[:8]))
def test_as_much_as_an_answer_may_have_can_be_stored(data: Raw) -> None:
    answer = Answered(200, {}, bytes(data))
    success = judge_action(answer, "/")
    assert isinstance(success, Success)
    assert size(registers.end(LABEL), Done(EVENT, success.data)) <= MAX_MESSAGE


def test_what_is_too_large_says_by_how_much() -> None:
    headers = {"a": "b"}
    message_limits.check("s", headers, b"x" * 10, 28)
    with pytest.raises(OversizedError, match="29 bytes with its headers, and at most 28 can be stored") as caught:
        message_limits.check("s", headers, b"x" * 11, 28)
    assert (caught.value.size, caught.value.most) == (29, 28)


def test_data_are_stored_as_the_bytes_that_they_are() -> None:
    """Escaped once more, they would be six times as many."""
    _, body = codec.encode(registers.end("s"), Done("e", DATA[1]), ORIGIN, LABEL)
    assert json.decode(body, type=dict[str, Raw])["data"] == DATA[1]
