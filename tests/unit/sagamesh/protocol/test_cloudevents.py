"""CloudEvents: what is taken in each mode, what is refused with which sentence, and that nothing crashes."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagamesh.errors import EventError
from sagamesh.log.payload import MAX_DEPTH
from sagamesh.log.registers import NULL, Start
from sagamesh.protocol import commands
from sagamesh.protocol.binding import BATCH, STRUCTURED, FormatError
from sagamesh.protocol.cloudevents import parse

EVENT = {"specversion": "1.0", "id": "e-1", "source": "shop", "type": "order.placed"}
BINARY = {"content-type": "application/json", **{f"ce-{name}": value for name, value in EVENT.items()}}


def structured(**changes: object) -> bytes:
    return json.dumps({**EVENT, **changes}).encode()


def batch(*events: object) -> tuple[Start, ...]:
    return parse({"content-type": BATCH}, json.dumps(events).encode())


def refusal(headers: dict[str, str], body: bytes) -> str:
    with pytest.raises(EventError) as caught:
        parse(headers, body)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def one(headers: dict[str, str], body: bytes) -> Start:
    (event,) = parse(headers, body)
    return event


def test_the_modes_mean_the_same() -> None:
    data = {"orderId": "o-1", "total": 12}
    by_headers = one(BINARY | {"ce-time": "2026-01-31T12:00:00Z"}, json.dumps(data).encode())
    by_body = one({"content-type": f"{STRUCTURED}; charset=utf-8"}, structured(data=data, time="2026-01-31T12:00:00Z"))
    (in_batch,) = batch({**EVENT, "data": data, "time": "2026-01-31T12:00:00Z"})
    assert by_headers.event == "order.placed"
    assert (by_headers.id, by_headers.source, by_headers.time) == ("e-1", "shop", "2026-01-31T12:00:00Z")
    assert json.loads(bytes(by_headers.data)) == data
    assert by_headers.digest == commands.digest("order.placed", by_headers.data)
    for other in (by_body, in_batch):
        assert (other.event, other.id, other.source, other.digest, other.time) == (
            by_headers.event,
            by_headers.id,
            by_headers.source,
            by_headers.digest,
            by_headers.time,
        )


def test_data_stay_the_bytes_that_they_were() -> None:
    assert bytes(one(BINARY, b'  {"b": 1.50,\n "a": 1e3}\n').data) == b'{"b": 1.50,\n "a": 1e3}'
    assert one(BINARY, b'{"b":1.50,"a":1e3}').digest == one(BINARY, b'{"a":1000.0,"b":1.5}').digest


@pytest.mark.parametrize("content_type", ["", "application/json", "text/plain", "application/vnd.shop+json"])
def test_an_empty_body_is_null_whatever_its_type(content_type: str) -> None:
    assert one(BINARY | {"content-type": content_type}, b" \r\n").data == NULL


@pytest.mark.parametrize(
    "content_type", ["", "application/json", "Application/JSON; charset=utf-8", "text/json", "a/b"]
)
def test_data_must_be_json(content_type: str) -> None:
    headers = BINARY | {"content-type": content_type}
    if content_type != "a/b":
        assert json.loads(bytes(one(headers, b"[1]").data)) == [1]
        return
    with pytest.raises(FormatError, match="must be JSON"):
        parse(headers, b"[1]")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("plain", "plain"),
        ("a%20b%22", 'a b"'),
        ("Euro%E2%82%AC", "Euro€"),
        ("Euro€".encode().decode("latin-1"), "Euro€"),
        ('"quoted \\"well\\""', 'quoted "well"'),
        ("100%", "100%"),
        ("%2541", "%41"),
    ],
)
def test_headers_are_percent_decoded_once(header: str, expected: str) -> None:
    assert one(BINARY | {"ce-source": header}, b"").source == expected


@pytest.mark.parametrize(
    ("time", "kept"),
    [
        ("2026-01-31t12:00:00.123456789z", "2026-01-31T12:00:00.123456789Z"),
        ("2026-01-31T12:00:00+05:30", "2026-01-31T12:00:00+05:30"),
    ],
)
def test_time_is_kept_in_one_spelling(time: str, kept: str) -> None:
    assert one(BINARY | {"ce-time": time}, b"").time == kept


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"ce-id": ""}, "ce-id is missing or empty"),
        ({"ce-id": "", "ce-type": ""}, "ce-id and ce-type are missing or empty"),
        ({"ce-specversion": "0.3"}, "ce-specversion is '0.3'; only '1.0' is supported"),
        ({"ce-source": "%0d%0aNats-Rollup: all"}, "ce-source holds a control character"),
        ({"ce-type": "%EF%BF%BF"}, "ce-type holds a control character, or one that is no character"),
        ({"ce-id": "%ff"}, "the header ce-id is not percent-encoded UTF-8"),
        ({"ce-id": "x" * 257}, "ce-id has 257 characters; an attribute may have 256"),
        ({"ce-time": "yesterday"}, "ce-time is 'yesterday'; it must be like 2026"),
        ({"ce-time": "2026-01-31"}, "RFC 3339"),
        ({"ce-time": "2026-02-30T00:00:00Z"}, "RFC 3339"),
        ({"ce-time": "0001-01-01T00:00:00+14:00"}, "RFC 3339"),
    ],
)
def test_binary_refusals(changes: dict[str, str], sentence: str) -> None:
    assert sentence in refusal(BINARY | changes, b"{}")


def test_a_plain_request_is_told_what_an_event_needs() -> None:
    text = refusal({"content-type": "application/json"}, b"{}")
    assert text == "this is no CloudEvent: send the headers ce-specversion, ce-id, ce-source and ce-type"


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "expected an event, as a JSON object"),
        (b"[]", "expected an event, as a JSON object"),
        (b"{}", "specversion, id, source and type are missing or empty"),
        (structured(id=7), "id must be a string"),
        (structured(id=None), "id is missing or empty"),
        (structured(specversion="2.0"), "only '1.0'"),
        (structured(data_base64="e30="), "data_base64 is not supported"),
        (structured(data="hello", datacontenttype="text/plain"), "an event's data must be JSON"),
        (structured(id="a\u0000b"), "id holds a control character"),
        (structured(data=1).replace(b": 1}", b": 1e999}"), "the event's data"),
    ],
)
def test_structured_refusals(body: bytes, sentence: str) -> None:
    assert sentence in refusal({"content-type": STRUCTURED}, body)


def test_what_is_null_is_not_there() -> None:
    event = one({"content-type": STRUCTURED}, structured(data=None, datacontenttype="text/plain", time=None))
    assert (event.data, event.time) == (NULL, "")


def test_batches() -> None:
    events = batch(*({**EVENT, "id": f"e-{n}", "data": n} for n in range(3)))
    assert [(event.id, bytes(event.data)) for event in events] == [("e-0", b"0"), ("e-1", b"1"), ("e-2", b"2")]
    assert refusal({"content-type": BATCH}, b"[]") == "a batch holds from 1 to 100 events; this one holds 0"
    assert "holds 101" in refusal({"content-type": BATCH}, json.dumps([EVENT] * 101).encode())
    assert refusal({"content-type": BATCH}, json.dumps([EVENT, {**EVENT, "id": ""}]).encode()) == (
        "event 2 of the batch: id is missing or empty"
    )
    with pytest.raises(FormatError, match="event 1 of the batch"):
        batch({**EVENT, "data": 1, "datacontenttype": "text/plain"})


@pytest.mark.parametrize("content_type", ["application/cloudevents", "application/cloudevents+xml"])
def test_other_formats(content_type: str) -> None:
    with pytest.raises(FormatError, match="is neither"):
        parse({"content-type": content_type}, structured())


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 900, 100_000])
@pytest.mark.parametrize("content_type", ["application/json", STRUCTURED, BATCH])
def test_deep_data_are_refused(depth: int, content_type: str) -> None:
    deep = b"[" * depth + b"]" * depth
    body = deep if content_type == "application/json" else structured(data=1).replace(b": 1}", b": " + deep + b"}")
    body = b"[" + body + b"]" if content_type == BATCH else body
    assert "nested" in refusal(BINARY | {"content-type": content_type}, body)


def test_deep_data_are_taken_to_a_bound() -> None:
    deep = b'{"a":' * MAX_DEPTH + b"1" + b"}" * MAX_DEPTH
    assert bytes(one(BINARY, deep).data) == deep


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
headers = st.dictionaries(
    st.sampled_from([*BINARY, "ce-time", "ce-subject", "nats-rollup"]),
    st.sampled_from([*BINARY.values(), STRUCTURED, BATCH, "2026-01-31T12:00:00Z"])
    | st.text(st.characters(max_codepoint=255), max_size=300),
)
bodies = st.binary(max_size=300) | st.builds(
    lambda value: json.dumps(value).encode(),
    st.dictionaries(st.sampled_from([*EVENT, "time", "data", "data_base64"]), json_values | st.sampled_from(["1.0"]))
    | json_values,
)


@given(headers=headers, body=bodies)
def test_anything_is_an_event_or_refused_with_one_sentence(headers: dict[str, str], body: bytes) -> None:
    try:
        events = parse(headers, body)
    except EventError as error:
        str(error).encode()
        return
    for event in events:
        assert commands.digest(event.event, event.data) == event.digest


@given(value=json_values)
def test_any_json_is_taken(value: object) -> None:
    try:
        event = one(BINARY, json.dumps(value).encode())
    except EventError as error:  # JSON that is not I-JSON: lone surrogates, numbers out of range
        assert "cannot be read" in str(error)  # noqa: PT017 - either is fine
        return
    assert msgspec.json.decode(event.data) == value


@pytest.mark.parametrize("body", [b'{"a":1}', b""])
def test_a_byte_order_mark_is_ignored(body: bytes) -> None:
    mark = b"\xef\xbb\xbf"
    assert parse(BINARY, mark + body) == parse(BINARY, body)
    assert parse({"content-type": STRUCTURED}, mark + structured()) == parse({"content-type": STRUCTURED}, structured())
    several = json.dumps([EVENT]).encode()
    assert parse({"content-type": BATCH}, mark + several) == parse({"content-type": BATCH}, several)
