"""The wire format, pinned: what was written once is read for ever, and everything else is unreadable.

`golden/` holds what stands in logs. A change of it is a change of the format: old registers must still be read, so add
an example rather than change one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import Raw

from sagamesh.errors import UnreadableError
from sagamesh.log import codec, registers
from sagamesh.log.codec import ORIGIN, TRACE, Message
from sagamesh.log.registers import (
    ABORT,
    FINISH,
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
    Register,
    Satisfied,
    Skipped,
    Start,
    Started,
    Undone,
    Value,
    begin,
    compensation,
    end,
    marker,
)

GOLDEN = Path(__file__).parent / "golden"
INSTANCE = Instance("shop", "checkout", "o-1")
ORIGIN_OF_ALL = Origin("r-7", 3, 1769860800.25, "5f0c9a1e77", "payments-7d4b-x2x", "5f3a-12")
TRACE_OF_ALL = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
CAUSE = Cause("refused", "no credit left", "charge")
DATA = Raw(b'{ "b":1.50, "a":[1e3,12345678901234567890123],\n"c":"\\u00e9\\/" }')
DELIVERY = "saga.shop.checkout.o-1._.start"

EXAMPLES: dict[str, tuple[Name, Value]] = {
    "start": (START, Start("order.placed", "e-1", "/shop", "0f" * 32, DATA, "2026-01-31T12:00:00Z")),
    "start without data": (START, Start("order.placed", "e-1", "/shop", "0f" * 32)),
    "started": (begin("charge"), Started(DELIVERY)),
    "skipped, dead": (begin("charge"), Skipped(DELIVERY, "dead")),
    "skipped by when": (begin("charge"), Skipped(DELIVERY, "when")),
    "cancelled": (begin("charge"), Cancelled(CAUSE)),
    "cancelled by somebody": (begin("charge"), Cancelled(Cause("cancelled", "changed my mind"))),
    "cancelled without a word": (begin("charge"), Cancelled(Cause("cancelled"))),
    "done": (end("charge"), Done("card.charged", DATA, 3)),
    "done without data": (end("charge"), Done("card.charged")),
    "done after calls": (end("charge"), Done("card.charged", DATA, 3, 2)),
    "done, and begun when": (end("charge"), Done("card.charged", DATA, 3, 2, 1769860801.5)),
    "satisfied": (end("charge"), Satisfied("card.charged")),
    "dead": (end("charge"), Dead()),
    "refused": (end("charge"), Failed("refused", "no credit left", 2)),
    "unknown": (end("charge"), Failed("unknown", "reset")),
    "failed without a call": (end("charge"), Failed("refused", "no such key", 29, 0)),
    "failed, and begun when": (end("charge"), Failed("refused", "no credit left", 2, 1, 1769860801.5)),
    "expression": (end("charge"), Failed("expression", "when: event.data.total is missing", 1, 0)),
    "committed": (OUTCOME, Committed()),
    "aborted": (OUTCOME, Aborted(Cause("unknown", "reset", "charge"))),
    "aborted by an expression": (OUTCOME, Aborted(Cause("expression", "event.data.total is missing", "charge"))),
    "notice": (ABORT, Notice(CAUSE)),
    "undone": (compensation("charge"), Undone()),
    "undone later": (compensation("charge"), Undone(4)),
    "undone after calls": (compensation("charge"), Undone(4, 3)),
    "nothing": (compensation("charge"), Nothing()),
    "completed": (FINISH, Completed()),
    "compensated": (FINISH, Compensated()),
    "absent": (
        marker("charge", 7, end("reserve-credit")),
        Absent(DELIVERY, "saga.shop.checkout.o-1.reserve-credit.end"),
    ),
}
REGISTERS: dict[str, dict[str, Any]] = json.loads((GOLDEN / "registers.json").read_text())

fuzz = settings(max_examples=200)


def message(name: Name, body: bytes, headers: Mapping[str, str] | None = None) -> Message:
    if headers is None:
        headers = {ORIGIN: ";".join(map(str, ORIGIN_OF_ALL)), "ce-source": "payments"}
    return Message(INSTANCE.subject(name), headers, body, 42, 1769860805.5)


def read(name: Name, body: bytes) -> Value:
    return codec.decode(message(name, body)).value


# -- golden registers ------------------------------------------------------------------------------------------------


def test_every_value_has_an_example() -> None:
    assert {type(value) for _, value in EXAMPLES.values()} == set(Value.__subclasses__())
    assert REGISTERS.keys() == EXAMPLES.keys()


@pytest.mark.parametrize("title", EXAMPLES)
def test_a_register_is_written_as_it_always_was(title: str) -> None:
    name, value = EXAMPLES[title]
    headers, body = codec.encode(name, value, ORIGIN_OF_ALL, "payments", TRACE_OF_ALL)
    assert {"subject": INSTANCE.subject(name), "headers": headers, "body": body.decode()} == REGISTERS[title]


@pytest.mark.parametrize("title", EXAMPLES)
def test_a_register_is_read_as_it_was_written(title: str) -> None:
    name, value = EXAMPLES[title]
    golden = REGISTERS[title]
    found = codec.decode(Message(golden["subject"], golden["headers"], golden["body"].encode(), 42, 1769860805.5))
    origin = ORIGIN_OF_ALL
    if name == START:  # where and when it stands, only the server knows
        origin = origin._replace(start_sequence=42, start_time=1769860805.5)
    assert found == Register(name, value, 42, 1769860805.5, origin, "payments", TRACE_OF_ALL)


@pytest.mark.parametrize("title", EXAMPLES)
def test_fields_of_the_future_are_ignored(title: str) -> None:
    name, value = EXAMPLES[title]
    body = b'{"future":{"value":"x"},' + REGISTERS[title]["body"].encode()[1:-1] + b',"more":[1]}'
    # F61: Unknown fields
    assert read(name, body) == value


@pytest.mark.parametrize("title", EXAMPLES)
def test_headers_of_the_future_are_ignored(title: str) -> None:
    name, value = EXAMPLES[title]
    golden = REGISTERS[title]
    headers = {**golden["headers"], "saga-future": "1", "ce-dataschema": "x"}
    # F61: headers are ignored
    assert codec.decode(message(name, golden["body"].encode(), headers)).value == value


def test_a_register_has_few_headers() -> None:
    headers, _ = codec.encode(end("charge"), Dead(), ORIGIN_OF_ALL, "payments")
    assert headers == {
        "ce-specversion": "1.0",
        "ce-id": "r-7/charge/end",
        "ce-source": "payments",
        "ce-type": "dev.sagamesh.end.dead",
        "saga-origin": "r-7;3;1769860800.25;5f0c9a1e77;payments-7d4b-x2x;5f3a-12",
    }
    traced, _ = codec.encode(end("charge"), Dead(), ORIGIN_OF_ALL, "payments", TRACE_OF_ALL)
    assert traced == {**headers, TRACE: TRACE_OF_ALL}


def test_every_register_of_a_run_has_an_id_and_every_value_a_type_of_its_own() -> None:
    golden = [register["headers"] for register in REGISTERS.values()]
    assert len({headers["ce-id"] for headers in golden}) == len({name for name, _ in EXAMPLES.values()})
    kinds = {(name.register.partition(".")[0], type(value)) for name, value in EXAMPLES.values()}
    assert len({headers["ce-type"] for headers in golden}) == len(kinds)


@fuzz
@given(st.floats(0, 4e9), st.integers(0, 2**63))
def test_an_origin_s_time_and_sequence_are_exact(time: float, sequence: int) -> None:
    origin = ORIGIN_OF_ALL._replace(start_time=time, start_sequence=sequence)
    headers, body = codec.encode(end("charge"), Dead(), origin, "payments")
    assert codec.decode(message(end("charge"), body, headers)).origin == origin


# -- the app's data --------------------------------------------------------------------------------------------------

DATA_BYTES = [
    b'{ "b" : 1.50 , "a" : 1e3 }',
    b'{"z":1,"a":2,"m":3}',
    b'{"a":1,"a":2}',
    b"123456789012345678901234567890",
    b"-0.0",
    b"1.000000000000000000001",
    b"1E+400",
    b'"\\u00e9 \\ud83d\\ude00 \\/ \\u0000"',
    '"é 😀"'.encode(),
    b"[\n\t1,\r\n2 ]",
    b"[]",
    b"{}",
    b"null",
    b"true",
    b'""',
]


@pytest.mark.parametrize("data", DATA_BYTES, ids=repr)
@pytest.mark.parametrize(
    "make", [lambda data: (START, Start("e", "1", "s", "d", data)), lambda data: (end("charge"), Done("e", data))]
)
def test_data_pass_byte_by_byte(make: Any, data: bytes) -> None:
    name, value = make(Raw(data))
    headers, body = codec.encode(name, value, ORIGIN_OF_ALL, "payments")
    found = codec.decode(message(name, body, headers)).value
    assert isinstance(found, Start | Done)
    assert bytes(found.data) == data
    assert data == b"null" or data in body


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@fuzz
@given(JSON, st.sampled_from((None, 0, 2)), st.booleans())
def test_any_data_pass_byte_by_byte(value: object, indent: int | None, escaped: bool) -> None:
    data = json.dumps(value, indent=indent, ensure_ascii=escaped).encode(errors="replace")
    headers, body = codec.encode(end("charge"), Done("e", Raw(data)), ORIGIN_OF_ALL, "payments")
    found = codec.decode(message(end("charge"), body, headers)).value
    assert isinstance(found, Done)
    assert bytes(found.data) == data


# -- what cannot be read ---------------------------------------------------------------------------------------------

BODIES = {title: REGISTERS[title]["body"].encode() for title in EXAMPLES}


@pytest.mark.parametrize(
    "name",
    [
        Name("charge", "accepted"),
        Name("charge", "ends"),
        Name("charge", "END"),
        Name("_", "future"),
        Name("charge", "future.1"),
    ],
    ids=str,
)
@pytest.mark.parametrize("body", [b'{"value":"dead"}', b"{}"])
def test_a_register_of_the_future_is_unreadable(name: Name, body: bytes) -> None:
    # F61: never guessed at
    with pytest.raises(UnreadableError, match=f"knows no register {name.register!r}"):
        read(name, body)


@pytest.mark.parametrize(
    "name", [START, begin("s"), end("s"), OUTCOME, ABORT, compensation("s"), FINISH, marker("s", 1, START)], ids=str
)
@pytest.mark.parametrize(
    "body",
    [
        b'{"value":"future"}',
        b'{"value":"future","event":"e","data":1}',
        b'{"value":7}',
        b'{"value":null}',
        b"{}",
        b"",
        b"null",
        b"[]",
        b'"dead"',
        b"not JSON",
        b'{"value":"dead"',
        b'{"value":"\xff"}',
        b"\x00\x01",
    ],
    ids=repr,
)
def test_a_value_of_the_future_or_none_at_all_is_unreadable(name: Name, body: bytes) -> None:
    with pytest.raises(UnreadableError) as caught:
        read(name, body)
    assert str(caught.value).startswith(INSTANCE.subject(name))


@pytest.mark.parametrize(
    ("name", "title"),
    [
        (begin("s"), "done"),
        (begin("s"), "dead"),
        (end("s"), "started"),
        (end("s"), "cancelled"),
        (OUTCOME, "compensated"),
        (ABORT, "committed"),
        (compensation("s"), "dead"),
        (FINISH, "committed"),
        (START, "started"),
        (marker("s", 1, START), "dead"),
    ],
    ids=str,
)
def test_a_value_of_another_register_is_unreadable(name: Name, title: str) -> None:
    with pytest.raises(UnreadableError):
        read(name, BODIES[title])


@pytest.mark.parametrize(
    ("name", "body"),
    [
        (begin("s"), b'{"value":"started"}'),
        (begin("s"), b'{"value":"started","delivery":7}'),
        (begin("s"), b'{"value":"skipped","delivery":"x","because":"future"}'),
        (begin("s"), b'{"value":"cancelled"}'),
        (begin("s"), b'{"value":"cancelled","cause":{"kind":"future"}}'),
        (end("s"), b'{"value":"done"}'),
        (end("s"), b'{"value":"done","event":"e","attempts":"1"}'),
        (end("s"), b'{"value":"failed","kind":"future","reason":""}'),
        (end("s"), b'{"value":"failed","kind":"refused"}'),
        (OUTCOME, b'{"value":"aborted"}'),
        (START, b'{"value":"start","event":"e"}'),
        (marker("s", 1, START), b'{"value":"absent","delivery":"x"}'),
    ],
    ids=str,
)
def test_a_value_without_what_it_must_say_is_unreadable(name: Name, body: bytes) -> None:
    with pytest.raises(UnreadableError):
        read(name, body)


ORIGINS = {
    "missing": None,
    "empty": "",
    "one part": "r-7",
    "five parts": "r-7;3;1.0;5f0c9a1e77;pod",
    "seven parts": "r-7;3;1.0;5f0c9a1e77;pod;attempt;more",
    "commas": "r-7,3,1.0,5f0c9a1e77,pod,attempt",
    "no sequence": "r-7;;1.0;5f0c9a1e77;pod;attempt",
    "a sequence in words": "r-7;three;1.0;5f0c9a1e77;pod;attempt",
    "a broken sequence": "r-7;3.5;1.0;5f0c9a1e77;pod;attempt",
    "no time": "r-7;3;;5f0c9a1e77;pod;attempt",
    "a time in words": "r-7;3;noon;5f0c9a1e77;pod;attempt",
    "digits beyond counting": f"r-7;{'9' * 5000};1.0;5f0c9a1e77;pod;attempt",
}


@pytest.mark.parametrize("origin", ORIGINS.values(), ids=ORIGINS)
def test_an_origin_with_missing_or_broken_parts_is_unreadable(origin: str | None) -> None:
    headers = {} if origin is None else {ORIGIN: origin}
    with pytest.raises(UnreadableError):
        codec.decode(message(end("s"), b'{"value":"dead"}', headers))


@pytest.mark.parametrize("origin", [None, "", "r-7", "r-7;0;0.0;5f0c9a1e77;pod", "r-7;0;0.0;5f0c9a1e77;pod;a;b"])
def test_an_origin_of_a_start_must_have_all_its_parts_as_well(origin: str | None) -> None:
    headers = {} if origin is None else {ORIGIN: origin}
    with pytest.raises(UnreadableError):
        codec.decode(message(START, BODIES["start"], headers))


def test_a_start_is_not_asked_where_and_when_it_stands() -> None:
    found = codec.decode(message(START, BODIES["start"], {ORIGIN: "r-7;;;5f0c9a1e77;pod;attempt"}))
    assert found.origin == Origin("r-7", 42, 1769860805.5, "5f0c9a1e77", "pod", "attempt")


@pytest.mark.parametrize("subject", ["", "saga", "$KV.sagamesh-rules.shop.orders.checkout.active", "saga.a.b.c.d"])
def test_a_message_that_is_no_register_is_unreadable(subject: str) -> None:
    with pytest.raises(UnreadableError):
        codec.decode(message(START, BODIES["start"])._replace(subject=subject))


SUBJECTS = st.sampled_from([INSTANCE.subject(name) for name, _ in EXAMPLES.values()]) | st.text(max_size=40)
NOISE = st.binary(max_size=60)
PARTS = st.sampled_from([b'{"value":', b'"start"', b'"done"', b"null", b"[", b"}", b',"event":', b"1e999", b'"\xff"'])
HEADERS = st.dictionaries(st.sampled_from([ORIGIN, TRACE, "ce-source", "ce-id"]) | st.text(max_size=8), st.text())


@fuzz
@given(SUBJECTS, HEADERS, NOISE | st.lists(PARTS, max_size=8).map(b"".join) | st.sampled_from(list(BODIES.values())))
@example(INSTANCE.subject(START), {ORIGIN: ";;;;;"}, BODIES["start"])
def test_whatever_stands_in_a_log_is_read_or_unreadable(subject: str, headers: dict[str, str], body: bytes) -> None:
    try:
        found = codec.decode(Message(subject, headers, body, 42, 1.0))
    except UnreadableError:
        return
    assert registers.parse(subject)[1] == found.name


@fuzz
@given(st.sampled_from(list(EXAMPLES)), st.data())
def test_a_register_that_was_cut_or_altered_is_read_or_unreadable(title: str, draw: st.DataObject) -> None:
    name, _ = EXAMPLES[title]
    body = bytearray(BODIES[title])
    place = draw.draw(st.integers(0, len(body) - 1))
    body[place : place + draw.draw(st.integers(0, 3))] = draw.draw(st.binary(max_size=3))
    try:
        codec.decode(message(name, bytes(body)))
    except UnreadableError:
        return


DEEP = b"[" * 100_000 + b"]" * 100_000


@pytest.mark.parametrize(
    ("subject", "origin", "body"),
    [
        ("saga.a.b.c.d.end", "r;1;2.0;rev;pod;att", b'{"value":"done","event":"e","data":%s}' % DEEP),
        ("saga.a.b.c.d.end", "r;1;2.0;rev;pod;att", b'{"value":"dead","later":%s}' % DEEP),
        ("saga.a.b.c.d.end", "r;1;nan;rev;pod;att", b'{"value":"dead"}'),
        ("saga.a.b.c.d.end", "r;1;1e999;rev;pod;att", b'{"value":"dead"}'),
        ("saga.a.b.c.d.end.more", "r;1;2.0;rev;pod;att", b'{"value":"dead"}'),
    ],
)
def test_what_no_version_writes_is_unreadable(subject: str, origin: str, body: bytes) -> None:
    with pytest.raises(UnreadableError):
        codec.decode(Message(subject, {ORIGIN: origin}, body, 1, 1.0))


# -- what stands in a log may be anything ----------------------------------------------------------------------------


def of_origin(origin: str) -> Message:
    return Message("saga.n.s.i.a.begin", {"saga-origin": origin}, b'{"value":"started","delivery":"x"}', 7, 1.0)


@pytest.mark.parametrize("time", ["-1.0", "253402300800.0", "1e300", "inf", "nan", "9" * 5000])
def test_a_start_at_no_time_is_unreadable(time: str) -> None:
    """No clock could show it: it would be a fault of whoever looks at the instance."""
    with pytest.raises(UnreadableError) as caught:
        codec.decode(of_origin(f"run;1;{time};rev;pod;a-1"))
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("time", ["0.0", "253402300799.9"])
def test_a_start_at_any_time_of_a_calendar_is_read(time: str) -> None:
    assert codec.decode(of_origin(f"run;1;{time};rev;pod;a-1")).origin.start_time == float(time)


@pytest.mark.parametrize("run", ["läuft", "a\x01b", "\u2028", "a\nb"])
def test_an_origin_with_other_characters_than_ours_is_unreadable(run: str) -> None:
    """A run becomes part of headers, where it would be another header, or none."""
    with pytest.raises(UnreadableError, match="its origin has characters that no origin has"):
        codec.decode(of_origin(f"{run};1;1.0;rev;pod;a-1"))


@pytest.mark.parametrize(
    ("trace", "kept"),
    [
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", True),
        ("", False),
        ("00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", False),
        ("00-" + "0" * 32 + "-b7ad6b7169203331-01", False),
        ("00-0af7651916cd43dd8448eb211c80319c-" + "0" * 16 + "-01", False),
        ("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", False),
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\n", False),
        ("läuft", False),
    ],
)
def test_a_trace_that_is_none_goes_no_further(trace: str, kept: bool) -> None:
    assert codec.trace_of({"traceparent": trace}) == (trace if kept else "")
    assert codec.trace_of({}) == ""
