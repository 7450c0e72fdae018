"""Input that is too large, malformed or forged, at a real sidecar with a real log and an app that sees every byte."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from msgspec import Raw
from msgspec.structs import replace

from sagamesh.language.model import Action, Compensation, Emit, Saga, Step
from sagamesh.log import codec, registers
from sagamesh.log.registers import ABORT, START, Done, Failed, Instance, Origin
from sagamesh.rules.projection import project
from sagamesh_jetstream.client.session import connect
from support.fakes.scripted_app import Call, ScriptedApp, http, scripted
from support.processes.post import LIMIT, STARTED, Post, post
from support.processes.stage import run
from support.processes.web import ask

END = registers.end("accept")
OWN = Step(
    name="accept",
    participant="orders",
    after=("order.placed",),
    action=Action(path="/accept", within=0.5),
    emits=(Emit(event="order.accepted"), Emit(event="order.queued")),
    compensation=Compensation(path="/reject"),
)
SAGA: Saga = replace(STARTED, steps=(OWN,))
"""Whose only step is the sidecar's own: what comes in at its API goes out to its app."""
CAREFUL: Saga = replace(SAGA, steps=(replace(OWN, when='event.data != "never"'),))
"""The same, but it looks into the data."""
HEADERS = {"content-type", "ce-specversion", "ce-id", "ce-source", "ce-type", "ce-correlationid", "ce-causationid"}
HEADERS |= {
    "idempotency-key",
    "saga-name",
    "saga-id",
    "saga-run",
    "saga-step",
    "saga-attempt",
    "host",
    "content-length",
}
"""What a call to the app may carry; `saga-end` and `traceparent` now and then."""
REGISTER = {"ce-specversion", "ce-id", "ce-source", "ce-type", "saga-origin"}


class World(Post):
    """A sidecar, and its app: `answers` are those of some instances, all others are answered 200."""

    app: ScriptedApp
    answers: dict[str, bytes]

    async def binary(self, data: bytes, **attributes: str) -> tuple[int, Any]:
        """Send an event in binary mode, its attributes as they are: status and document."""
        named = {"id": "e-1", "source": "/test", "type": "order.placed", "specversion": "1.0"} | attributes
        lines = [f"{'' if name in PLAIN else 'ce-'}{name}: {value}" for name, value in named.items()]
        head = ["POST /v1/events HTTP/1.1", "host: localhost", "connection: close", f"content-length: {len(data)}"]
        sent = "\r\n".join((*head, "content-type: application/json", *lines, "\r\n")).encode("latin-1") + data
        received, _, body = (await self.raw(sent)).partition(b"\r\n\r\n")
        return int(received.split()[1]), json.loads(body)

    async def structured(self, **event: Any) -> tuple[int, Any]:
        plain = {"specversion": "1.0", "id": "e-1", "source": "/test", "type": "order.placed"}
        answer = await ask("POST", f"{self.urls.api}/v1/events", plain | event, "application/cloudevents+json")
        return answer.status, answer.body

    async def value(self, key: str, name: registers.Name) -> Any:
        """What stands in a register, once it does."""
        place = Instance("shop", "checkout", key)
        found: list[Any] = []

        async def look() -> bool:
            found[:] = await self.log.read(place.stream, [place.subject(name)])
            return bool(found)

        await until_true(look)
        return codec.decode(found[0]).value

    async def everything(self) -> list[codec.Message]:
        streams = registers.streams("shop", "checkout")
        return [message for stream in streams for message in await self.log.read(stream, ["saga.>"])]


PLAIN = {"traceparent", "nats-rollup", "tracestate", "saga-origin"}
"""Headers that are no attributes of an event."""


async def until_true(condition: Callable[[], Awaitable[bool]], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.02)


@asynccontextmanager
async def world(directory: Path, saga: Saga = SAGA) -> AsyncIterator[World]:
    answers: dict[str, bytes] = {}

    async def script(call: Call) -> bytes:
        return answers.get(call.instance, http()) if call.path == "/accept" else http()

    async with scripted(script) as app, post(directory, saga, app=app.url) as plain:
        built = World(server=plain.server, member=plain.member, log=plain.log, urls=plain.urls)
        built.app, built.answers = app, answers
        yield built
        # F41: the sidecar runs on
        await built.check()


def test_f40_an_event_that_is_too_large_is_refused_and_everything_stays_connected(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as on:
            # F40: exactly the limit is taken
            assert (await on.start("exact", LIMIT)).status == 202
            for size in (LIMIT + 1, 1 << 20, 3 << 20):
                answer = await on.start("over", size)
                # F40: An event over 256 KiB is answered 413
                assert (answer.status, answer.body["code"]) == (413, "too-large")
            widest = quote("\U0001f600" * 256)  # as many bytes as attributes may have
            data = b'{"orderId": "wide", "note": "%b"}' % (b"x" * (LIMIT - 30))
            data = data[: -(len(data) - LIMIT) - 2] + b'"}' if len(data) > LIMIT else data
            status, document = await on.binary(data, id=widest, source=widest)
            assert status == 202, document
            status, document = await on.binary(b"{}", id="x" * 20_000)
            # F40: a head over 16 KiB 400
            assert (status, document["code"]) == (400, "bad-request")
            assert isinstance(await on.value("exact", END), Done)
            assert isinstance(await on.value("wide", END), Done)
            [sent] = [call.data for call in on.app.calls if call.instance == "exact"]
            assert len(sent["note"]) > LIMIT - 200
            # F40: nothing too large is stored
            assert await on.stored("over") == set()
            log = on.member.log.read_text()
            # F40: the connection to NATS stays up
            assert log.count('"message":"NATS at') == 1

    run(scenario())


def test_f40_an_answer_that_is_too_large_is_none(tmp_path: Path) -> None:
    def text(size: int) -> bytes:
        return b'"' + b"x" * (size - 2) + b'"'

    def refusal(size: int) -> bytes:
        return http(422, json.dumps({"detail": "x" * size}).encode())

    async def scenario() -> None:
        async with world(tmp_path) as on:
            on.answers |= {
                "exact": http(200, text(LIMIT)),
                "over": http(200, text(LIMIT + 1)),
                "far-over": http(200, text(4 << 20)),
                "head": http(200, b"{}", f"x: {'y' * 40_000}"),
                "reason": refusal(500),
                "long-reason": refusal(501),
                "no-reason": refusal(300_000),
            }
            for key in on.answers:
                assert (await on.start(key)).status == 202
            done = await on.value("exact", END)
            assert isinstance(done, Done)
            assert len(bytes(done.data)) == LIMIT
            for key in ("over", "far-over", "head"):
                failed = await on.value(key, END)
                assert isinstance(failed, Failed)
                # F40: a success of the app over 256 KiB (or a head over 32 KiB) counts as none
                assert failed.kind == "unknown"
                assert "over" in failed.reason
            told = {"reason": "x" * 500, "long-reason": "x" * 497 + "...", "no-reason": "POST /accept answered 422"}
            for key, reason in told.items():
                refused = await on.value(key, END)
                assert isinstance(refused, Failed)
                # F40: while of any other answer the status is enough
                assert (refused.kind, refused.reason) == ("refused", reason)
                assert (await on.value(key, ABORT)).cause.reason == reason
            assert '"message":"NATS at' in on.member.log.read_text()

    run(scenario())


MALFORMED: list[tuple[bytes, dict[str, str], int]] = [
    (b"", {}, 400),
    (b"rubbish", {"content-type": "application/cloudevents+json"}, 400),
    (b"{}", {"content-type": "application/cloudevents+json"}, 400),
    (b"[]", {"content-type": "application/cloudevents-batch+json"}, 400),
    (b"[{}]", {"content-type": "application/cloudevents-batch+json"}, 400),
    (b"<a/>", {"content-type": "application/cloudevents+xml"}, 415),
    (b"x=1", {"content-type": "application/x-www-form-urlencoded", "ce-id": "1"}, 415),
    (b"{}", {"ce-id": "1", "ce-source": "s", "ce-type": "order.placed"}, 400),
    (b"{}", {"ce-id": "1", "ce-source": "s", "ce-type": "order.placed", "ce-specversion": "0.3"}, 400),
    (b"{", {"ce-id": "1", "ce-source": "s", "ce-type": "order.placed", "ce-specversion": "1.0"}, 400),
    (b"[" * 100_000, {"content-type": "application/cloudevents+json"}, 400),
    (b"\xff", {"ce-id": "1", "ce-source": "s", "ce-type": "order.placed", "ce-specversion": "1.0"}, 400),
]


@pytest.mark.of_its_kind
def test_f41_a_malformed_event_is_refused_and_a_malformed_register_is_held(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path, CAREFUL) as on:
            for body, headers, expected in MALFORMED:
                lines = [f"{name}: {value}" for name, value in headers.items()]
                head = ["POST /v1/events HTTP/1.1", "host: localhost", f"content-length: {len(body)}", *lines]
                received = await on.raw("\r\n".join((*head, "connection: close", "\r\n")).encode() + body)
                document = json.loads(received.partition(b"\r\n\r\n")[2])
                # F41: A malformed event is refused with 400 or 415 and a code
                assert (document["status"], document["code"]) == (
                    expected,
                    "not-json" if expected == 415 else "bad-event",
                )
            # F41: stores nothing
            assert await on.everything() == []

            origin = Origin("run", 0, 0.0, project(CAREFUL)["orders"].revision, "pod", "attempt")
            good, fine = codec.encode(START, registers.Start("order.placed", "e", "s", "d"), origin, "orders")

            def data(raw: bytes) -> bytes:
                return msgspec.json.encode(registers.Start("order.placed", "e", "s", "d", Raw(raw)))

            forged: list[tuple[dict[str, str], bytes]] = [
                ({}, b"rubbish"),
                ({}, fine),
                (good, b"{"),
                (good, b""),
                (good, b"[" * 100_000),
                (good, b'{"value":"committed"}'),
                (good | {"saga-origin": "run;x"}, fine),
                (good, data(b'"\\ud800"')),
                (good, data(b"[" * 5000 + b"]" * 5000)),
                (good, data(b"1e999")),
            ]
            for number, (headers, body) in enumerate(forged):
                subject = Instance("shop", "checkout", f"forged-{number}").subject(START)
                assert isinstance(await on.log.put(subject, headers, body), int)

            async def counted() -> bool:
                return await on.metric("unreadable_registers_total") >= len(forged)

            # F41: a malformed register in the log is counted
            await until_true(counted)
            logged = on.member.log.read_text()
            # F41: logged
            assert all(f"forged-{number}." in logged for number in range(len(forged)))
            assert (await on.start("fine")).status == 202
            # F41: other instances go on
            assert isinstance(await on.value("fine", END), Done)
            async with connect(on.server.url) as stream:
                consumer = await stream.api("CONSUMER.INFO.SAGA_shop_checkout.orders")
            # F41: held and never acked
            assert consumer["num_ack_pending"] >= len(forged)
            assert {call.instance for call in on.app.calls} == {"fine"}
            shown = await ask("GET", f"{on.urls.api}/v1/sagas/checkout/forged-0")
            assert (shown.status, shown.body["code"]) == (500, "unreadable")

    run(scenario())


CONTROLS = ["a\r\nNats-Rollup: all", "a\0b", "a\nb", "\x7f", "a\x85b", "\ufffe"]
KEYS = [
    "*",
    ">",
    "a.b",
    "a b",
    "a\r\nNats-Rollup: all",
    "..",
    "a/b",
    "é",
    "x" * 300,
    "\u2028",
    "saga.shop.checkout.x._.end",
]
TRACES = [
    "x",
    "00-" + "0" * 32 + "-b7ad6b7169203331-01",
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\tx: y",
]
REASON = "sold\r\nNats-Rollup: all\0*>"
TOLD = "sold Nats-Rollup: all *>"
"""The same as it is stored and told: words are one line, without control characters."""


def test_f45_what_would_be_a_header_or_a_subject_is_data_or_refused(tmp_path: Path) -> None:
    async def refused(on: World) -> None:
        """Control characters in attributes; keys that no expression can read; types that name several."""
        for text in CONTROLS:
            for name in ("id", "type", "source"):
                status, document = await on.structured(**{name: text}, data={"orderId": "o"})
                # F45: Control characters in attributes are refused with 400
                assert (status, document["code"]) == (400, "bad-event"), (name, text)
                status, document = await on.binary(b'{"orderId": "o"}', **{name: quote(text)})
                assert (status, document["code"]) == (400, "bad-event"), (name, text)
        for event_type in ("*", ">", "order.*", "order.placed.>", "order.placed "):
            status, document = await on.structured(type=event_type, data={"orderId": "o"})
            assert (status, document["code"]) == (404, "nobody-listens")
        for key in ("", "a\0b", "h-" + "a" * 26, 7, None, {}):
            status, document = await on.structured(data={"orderId": key})
            assert (status, document["code"]) == (422, "bad-key")
        # F45: nothing is stored
        assert await on.everything() == []

    async def scenario() -> None:
        async with world(tmp_path) as on:
            await refused(on)
            ids = []
            for key in KEYS:
                status, document = await on.structured(data={"orderId": key}, id="e")
                assert status == 202, (key, document)
                ids.append(document["instances"][0]["id"])
                seen = await ask("GET", f"{on.urls.api}/v1/sagas/checkout/{quote(key, safe='')}")
                assert (seen.status, seen.body["id"]) == (200, ids[-1])
            # F45: a key that is no plain id (`*`, `>`, `.`, blanks, CRLF) becomes a digest
            assert all(re.fullmatch("h-[a-z2-7]{26}", one) for one in ids)
            assert len(set(ids)) == len(KEYS)
            for number, trace in enumerate(TRACES):
                key = f"trace-{number}"
                more = {
                    "traceparent": trace,
                    "nats-rollup": "all",
                    "tracestate": "x",
                    "saga-origin": "x",
                    "saga-end": "x",
                }
                assert (await on.binary(b'{"orderId": "%b"}' % key.encode(), **more))[0] == 202
                ids.append(key)
            on.answers |= {
                "reason": http(422, json.dumps({"detail": REASON}).encode(), "Saga-End: done", "Traceparent: x"),
                "choice": http(200, b"{}", "ce-type: order.queued"),
                "no-choice": http(200, b"{}", "ce-type: order.> Nats-Rollup: all"),
            }
            for key in on.answers:
                assert (await on.start(key)).status == 202
            ends = {key: await on.value(key, END) for key in [*ids, *on.answers]}
            assert all(isinstance(ends[key], Done) for key in ids)
            assert isinstance(ends["reason"], Failed)
            assert (ends["reason"].kind, ends["reason"].reason) == ("refused", TOLD)
            assert ends["choice"].event == "order.queued"
            assert isinstance(ends["no-choice"], Failed)
            await on.value("reason", registers.compensation("accept"))
            check_calls(on, {*ids, *on.answers})
            for message in await on.everything():
                place, name = registers.parse(message.subject)
                assert place in {Instance("shop", "checkout", key) for key in ends}
                assert name.step in ("_", "accept")
                # F45: no header of the app's gets into the log
                assert set(message.headers) == REGISTER

    run(scenario())


def check_calls(on: World, expected: set[str]) -> None:
    """Every header of every call is ours, and says what it must say."""
    assert {call.instance for call in on.app.calls} == expected
    for call in on.app.calls:
        kind = "action" if call.path == "/accept" else "compensation"
        # F45: calls carry our own headers alone
        assert set(call.headers) - {""} == HEADERS | ({"saga-end"} if kind == "compensation" else set())
        run_id = call.headers["saga-run"]
        assert re.fullmatch("[0-9a-f]{16}", run_id)
        key = f"shop/checkout/{call.instance}/{run_id}/accept/{kind}"
        assert call.headers["idempotency-key"] == f'"{key}"'
        assert call.headers["ce-type"] == "order.placed"
        if kind == "compensation" and call.instance == "reason":
            assert call.data["cause"]["reason"] == TOLD


HOSTS = [
    "",
    "evil.example",
    "localhost.evil.example",
    "127.0.0.1.nip.io",
    "127.0.0.1@evil",
    "[::2]",
    "0.0.0.0",
    "localhost:x",
]
PATHS = ["/v1/events", "//v1/events", "/v1/./events", "/v1/../v1/events", "/v1/events/", "/v1/%65vents", "/v1%2Fevents"]
PATHS += [
    "/livez/../v1/events",
    "/metrics",
    "/livez",
    "/v1/events;x=1",
    "/V1/EVENTS",
    "/v1/events%00",
    "/%2e%2e/v1/events",
]


def test_f58_only_this_machine_is_served_by_whatever_path(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(tmp_path) as on:
            body = on.event("o")
            event = f"content-type: application/cloudevents+json\r\ncontent-length: {len(body)}\r\nconnection: close"
            for path in PATHS:
                for host in HOSTS if path == "/v1/events" else HOSTS[:2]:
                    head = f"POST {path} HTTP/1.1\r\nhost: {host}\r\n{event}\r\n\r\n"
                    # F58: answers 403 to any other Host or Origin whatever the path
                    assert (await on.raw(head.encode() + body)).startswith(b"HTTP/1.1 403 "), (path, host)
                head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\nhost: evil.example\r\n{event}\r\n\r\n"
                assert (await on.raw(head.encode() + body)).startswith(b"HTTP/1.1 403 "), path
                head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\norigin: https://evil.example\r\n{event}\r\n\r\n"
                assert (await on.raw(head.encode() + body)).startswith(b"HTTP/1.1 403 "), path
                if path not in ("/v1/events", "/v1/%65vents"):
                    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\n{event}\r\n\r\n"
                    # F58: 404 to tricks with paths
                    assert (await on.raw(head.encode() + body)).startswith(b"HTTP/1.1 404 "), path
                # F58: the health port serves none of it
                assert (await ask("POST", f"{on.urls.health}{path}", {})).status in (404, 405)
            assert await on.everything() == []
            port = int(on.urls.api.rpartition(":")[2])
            # F58: The API listens on 127.0.0.1 alone
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.2", port)

    run(scenario())
