"""The API over real sockets, asked anything at all: each answer is whole, each refusal a problem, and it lives on."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sagamesh_sidecar import message_limits
from sagamesh_sidecar.api import routes
from sagamesh_sidecar.web import asgi, bounded_protocol
from sagamesh_sidecar.web import server as server_module
from sagamesh_sidecar.web.problems import KINDS
from support.fakes.served_api import EVENT, SAGAS, TRACE, World

QUICK = 0.05
"""Seconds, where in production there are five or more: what never comes whole is waited for in each example."""
fuzz = settings(max_examples=80, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Alive:
    """A sidecar's API that lives through all the examples of a test."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self.runner = runner
        self.world = World()
        self.stack = contextlib.AsyncExitStack()

    async def begin(self) -> None:
        await self.world.distribute(*SAGAS)
        await self.stack.enter_async_context(self.world.serving())

    def send(self, request: bytes) -> bytes:
        """All that comes back until the server ends the connection."""
        return self.runner.run(self._send(request))

    async def _send(self, request: bytes) -> bytes:
        received = bytearray()
        async with asyncio.timeout(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.world.server.port)
            with contextlib.suppress(OSError):  # reset, after it was answered: what came counts
                writer.write(request)
                while piece := await reader.read(65536):
                    received += piece
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        return bytes(received)

    def check(self) -> None:
        """It still serves, nothing is left in hand, and the log holds nothing but what it may hold."""
        [(status, problem)] = answers(
            self.send(b"GET /v1/nothing HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        )
        assert (status, problem["code"]) == (404, "no-such-path")
        app: Any = self.world.server.app
        assert app.room.left == routes.BODIES
        for saga in SAGAS:
            for message in self.world.messages(saga.name):
                assert re.fullmatch(
                    rf"saga\.shop\.{saga.name}\.([A-Za-z0-9_-]{{1,64}})\.(_|charge)\.[a-z]+", message.subject
                ), message.subject
                assert set(message.headers) <= HEADERS
                message_limits.check(message.subject, message.headers, message.body, 320 * 1024)


HEADERS = {"ce-specversion", "ce-id", "ce-source", "ce-type", "saga-origin", "traceparent"}


@pytest.fixture
def alive(monkeypatch: pytest.MonkeyPatch) -> Iterator[Alive]:
    for where, name in [(bounded_protocol, "HEAD_SECONDS"), (bounded_protocol, "REST_SECONDS"), (asgi, "BODY_TIMEOUT")]:
        monkeypatch.setattr(where, name, QUICK)
    monkeypatch.setattr(server_module, "KEEP_ALIVE", QUICK)
    with asyncio.Runner() as runner:
        found = Alive(runner)
        runner.run(found.begin())
        yield found
        found.check()
        runner.run(found.stack.aclose())


def answers(received: bytes) -> list[tuple[int, Any]]:
    """Status and document of each answer, once it is proven that all are well-formed, and each refusal a problem."""
    found: list[tuple[int, Any]] = []
    while received:
        head, end, received = received.partition(b"\r\n\r\n")
        assert end, f"an answer that is not whole: {head!r}"
        first, *lines = head.decode("ascii").split("\r\n")
        assert re.fullmatch(r"HTTP/1\.1 \d{3} [A-Z][A-Za-z -]+", first)
        status = int(first.split()[1])
        if status == 100:
            continue
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        assert len(headers) == len(lines)
        length = int(headers["content-length"])
        of_head = received[:5] == b"HTTP/" or not received  # the answer to a HEAD has a length, and no body
        body, received = (b"", received) if of_head else (received[:length], received[length:])
        assert of_head or len(body) == length
        found.append((status, _document(status, headers, body)))
    return found


def _document(status: int, headers: dict[str, str], body: bytes) -> Any:
    problem = headers["content-type"] == "application/problem+json"
    assert problem == (status >= 400), (status, headers)
    document = json.loads(body) if body else {"code": None}
    if problem and body:
        assert status == document["status"] == KINDS[document["code"]].status
        assert document["code"] not in ("internal", "unreadable"), document
        assert document["detail"]
        assert len(document["detail"]) < 1500
    return document


# -- requests ---------------------------------------------------------------------------------------------------------

SEGMENTS = st.sampled_from(
    [
        "v1",
        "events",
        "sagas",
        "checkout",
        "audit",
        "o-1",
        "e-1",
        "cancel",
        "steps",
        "",
        ".",
        "..",
        "*",
        "%3E",
        "%00",
        "%ff",
        "%2e%2e",
        "%2F",
        "saga.shop.checkout",
        "%0d%0aNats-Rollup:%20all",
        "h-" + "a" * 26,
        "a" * 300,
        "%zz",
        "//",
        ";x=1",
    ]
)
TEXT = st.text(max_size=30)
PATHS = (
    st.lists(SEGMENTS | TEXT.map(lambda text: quote(text, safe="")), max_size=7).map(
        lambda parts: "/" + "/".join(parts)
    )
    | st.sampled_from(
        ["/v1/events", "/v1/sagas/checkout/o-1", "/v1/sagas/audit/e-1/cancel", "*", "http://evil/v1/events"]
    )
    | st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40).map(lambda text: "/" + text)
)
QUERIES = st.sampled_from(
    ["", "", "?", "?wait=1ms", "?wait=0s", "?wait=soon", "?wait=9h", "?wait=%ff", "?" + "a&" * 60]
)
METHODS = st.sampled_from(
    ["GET", "POST", "POST", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "PURGE"]
)
NAMES = st.sampled_from(
    [
        *EVENT,
        "content-type",
        "ce-time",
        "ce-datacontenttype",
        "traceparent",
        "origin",
        "expect",
        "nats-rollup",
        "upgrade",
        "connection",
        "idempotency-key",
        "saga-origin",
        "transfer-encoding",
        "host",
        "accept-encoding",
        "x",
    ]
)
LATIN = st.text(st.characters(max_codepoint=255), max_size=40)
VALUES = st.sampled_from(
    [
        "application/json",
        "application/cloudevents+json",
        "application/cloudevents-batch+json",
        "order.placed",
        "1.0",
        "order.audited",
        "both",
        "100-continue",
        "localhost",
        "evil.example",
        "h2c",
        "upgrade",
        "chunked",
        "close",
        TRACE,
        "x\r\nNats-Rollup: all",
        "x\r\n\r\nGET / HTTP/1.1\r\nhost: localhost",
        "%0d%0a",
        "%00",
        "*",
        ">",
        "\x00",
        "ÿ",
    ]
)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | TEXT
    | st.sampled_from([10**30, "*", ">", "a.b", "\r\n", "\0"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=8,
)
DATA = json_values | st.fixed_dictionaries({"orderId": json_values})
EVENTS = st.fixed_dictionaries(
    {
        "specversion": st.just("1.0") | json_values,
        "id": TEXT | st.sampled_from(["e-1", "*", "a.b", "x\r\ny", "\0"]) | json_values,
        "source": st.just("shop") | json_values,
        "type": st.sampled_from(["order.placed", "order.audited", "both", "a\r\nb", "*"]) | json_values,
    },
    optional={"data": DATA, "time": TEXT, "datacontenttype": TEXT, "data_base64": TEXT, "extension": json_values},
)
BODIES = (
    st.binary(max_size=60)
    | (DATA | EVENTS | st.lists(EVENTS, max_size=4)).map(lambda value: json.dumps(value).encode())
    | st.fixed_dictionaries({"reason": TEXT | json_values}).map(lambda value: json.dumps(value).encode())
    | st.sampled_from([b"", b"[" * 5000, b'"\xed\xa0\x80"', b'{"orderId": "\\ud800"}', b"1" * 5000, b"\xff\xfe"])
)


def request(method: str, target: str, headers: dict[str, str], body: bytes) -> bytes:
    """Its head and its body agree about where it ends, unless a header says otherwise."""
    plain = {"host": "localhost", "content-length": str(len(body))} | headers | {"connection": "close"}
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in plain.items())]
    return "\r\n".join((*lines, "\r\n")).encode("latin-1") + body


@fuzz
@given(METHODS, PATHS, QUERIES, st.dictionaries(NAMES, VALUES | LATIN, max_size=8), BODIES)
def test_any_request_gets_a_whole_answer(
    alive: Alive, method: str, path: str, query: str, headers: dict[str, str], body: bytes
) -> None:
    answers(alive.send(request(method, path + query, headers, body)))


STRUCTURED, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"
ATTRIBUTES = st.fixed_dictionaries(
    {name: st.just(value) | VALUES | LATIN for name, value in EVENT.items()},
    optional={"traceparent": VALUES | LATIN, "ce-time": VALUES | LATIN, "nats-rollup": st.just("all")},
)
JSON_BYTES = (json_values | DATA).map(lambda value: json.dumps(value).encode())


@fuzz
@given(
    st.tuples(ATTRIBUTES.map(lambda found: found | {"content-type": "application/json"}), JSON_BYTES)
    | st.tuples(st.just({"content-type": STRUCTURED}), EVENTS.map(lambda value: json.dumps(value).encode()))
    | st.tuples(st.just({"content-type": BATCH}), st.lists(EVENTS).map(lambda value: json.dumps(value).encode()))
)
@example((EVENT | {"content-type": "application/json", "ce-type": "order.audited", "traceparent": TRACE}, b"{}"))
def test_any_event_is_answered(alive: Alive, sent: tuple[dict[str, str], bytes]) -> None:
    headers, body = sent
    for status, document in answers(alive.send(request("POST", "/v1/events", headers, body))):
        assert status in (200, 202, 400, 403, 404, 409, 415, 422), document


@fuzz
@given(st.sampled_from(["GET", "POST"]), TEXT | st.sampled_from(["..", "*", ">", "a.b", "h-x", "\0", "\r\n"]), BODIES)
def test_any_key_and_any_reason_are_answered(alive: Alive, method: str, key: str, body: bytes) -> None:
    started = {"orderId": key}
    alive.send(
        request("POST", "/v1/events", EVENT | {"content-type": "application/json"}, json.dumps(started).encode())
    )
    path = f"/v1/sagas/checkout/{quote(key, safe='')}" + ("/cancel" if method == "POST" else "")
    for status, document in answers(alive.send(request(method, path, {}, body))):
        assert status in (200, 400, 404, 409, 413), document


VALID = [
    request("POST", "/v1/events", EVENT | {"content-type": "application/json"}, b'{"orderId": "o-1"}'),
    request("GET", "/v1/sagas/checkout/o-1?wait=1ms", {}, b""),
    b"POST /v1/events HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\nx: y\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
]


@fuzz
@given(st.sampled_from(VALID), st.data())
def test_a_request_that_was_cut_or_altered_gets_whole_answers_or_none(
    alive: Alive, whole: bytes, draw: st.DataObject
) -> None:
    changed = bytearray(whole)
    for _ in range(draw.draw(st.integers(1, 3))):
        place = draw.draw(st.integers(0, len(changed)))
        changed[place : place + draw.draw(st.integers(0, 5))] = draw.draw(st.binary(max_size=4))
    answers(alive.send(bytes(changed)))


@fuzz
@given(
    st.binary(max_size=200) | st.lists(st.sampled_from([*VALID, b"\r\n", b"\0", b"GET ", b"HTTP/1.1"])).map(b"".join)
)
def test_any_bytes_get_whole_answers_or_none(alive: Alive, sent: bytes) -> None:
    answers(alive.send(sent))
