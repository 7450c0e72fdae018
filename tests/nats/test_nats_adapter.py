"""The log on JetStream, with a server that is killed, paused, away or strict. The rest is in tests/contract."""

import asyncio
import json
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

import nats
from sagamesh.distribution import topology
from sagamesh.errors import UnavailableError
from sagamesh.protocol.attempt import WriteRefused
from sagamesh_jetstream.client import hidden, replies
from sagamesh_jetstream.client.connection import NatsConnection
from sagamesh_sidecar.adapters.nats import NatsLog, Timing
from sagamesh_sidecar.ports import Lease
from support.servers.nats_server import NatsServer
from support.servers.proxy import Wire

QUICK = Timing(start=0.2, connect=1, reply=0.5, watch=0.1, heartbeat=0.5, expires=10)
[STREAM] = topology.streams("t", "s")
NAME = STREAM["name"]


def scenario(*, timing: Timing = QUICK, started: bool = True) -> Callable[[Callable[..., Awaitable[None]]], object]:
    """Make `async def test(server, log)` a test. Where the server is started, there are a stream and a consumer."""

    def decorate(body: Callable[..., Awaitable[None]]) -> Callable[..., None]:
        async def play(server: NatsServer) -> None:
            async with asyncio.timeout(30):
                if started:
                    server.start()
                    await provide(server)
                async with NatsLog(server.url, name="test", timing=timing) as log:
                    await body(server, log)

        def test(tmp_path: Path) -> None:
            server = NatsServer(tmp_path, port=free_port())
            try:
                with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                    runner.run(play(server))
            finally:
                server.stop()

        test.__name__, test.__doc__ = body.__name__, body.__doc__
        return test

    return decorate


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


async def api(url: str, verb: str, body: object = None) -> None:
    async with await nats.connect(url) as client:
        sent = json.dumps(body).encode() if body else b""
        reply = json.loads((await client.request(f"$JS.API.{verb}", sent, timeout=5)).data)
        assert "error" not in reply, reply


async def provide(server: NatsServer) -> None:
    await api(server.url, f"STREAM.CREATE.{NAME}", STREAM)
    await provide_consumer(server.url)


async def provide_consumer(url: str, name: str = "c", ack_wait: float = 10) -> None:
    config = {**topology.consumer(name, ["saga.t.s.>"]), "ack_wait": int(ack_wait * topology.SECOND)}
    await api(url, f"CONSUMER.CREATE.{NAME}.{name}", {"stream_name": NAME, "action": "create", "config": config})


async def put(log: NatsLog, name: str) -> int | WriteRefused:
    return await log.put(f"saga.t.s.{name}", {}, name.encode())


async def put_in_the_end(log: NatsLog, name: str) -> None:
    """As a relay does: again, until it is known that it is there."""
    while await put(log, name) is WriteRefused.UNKNOWN:
        await asyncio.sleep(0.01)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


class Hands:
    """Acks what comes, and tells its name."""

    subscription: Any

    def __init__(self) -> None:
        self.came: asyncio.Queue[str] = asyncio.Queue()
        self.go = asyncio.Event()
        self.go.set()
        self.busy = self.most = 0

    async def accept(self, lease: Lease) -> None:
        self.busy += 1
        self.most = max(self.most, self.busy)
        self.came.put_nowait(lease.message.body.decode())
        await self.go.wait()
        await lease.ack()
        self.busy -= 1

    async def take(self, *names: str) -> None:
        """All of these came. Others, and some twice, may have, too: an ack that was lost."""
        missing = set(names)
        while missing:
            missing.discard(await self.came.get())


async def consuming(log: NatsLog, consumer: str = "c", slots: int = 4) -> Hands:
    hands = Hands()
    hands.subscription = await log.consume(NAME, consumer, hands.accept, slots=slots)
    return hands


# Crashes


@scenario()
async def test_kill_and_restart(server, log):
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    await log.listen("saga.t.s.>", lambda _, body: heard.put_nowait(body))
    hands = await consuming(log)
    assert await put(log, "a") == 1
    await hands.take("a")
    server.kill()
    await until(lambda: not log.connected)
    assert await put(log, "b") is WriteRefused.UNKNOWN
    with pytest.raises(UnavailableError):
        await log.read(NAME, ["saga.t.s.>"])
    server.restart()
    await put_in_the_end(log, "c")
    await hands.take("c")
    assert log.connected
    while await heard.get() != b"c":
        pass
    assert [message.body for message in await log.read(NAME, ["saga.t.s.*"])] == [b"a", b"c"]


@scenario()
async def test_two_kills_in_a_row_and_nothing_is_left_behind(server, log):
    hands = await consuming(log)
    await put_in_the_end(log, "0")
    await hands.take("0")
    tasks = len(asyncio.all_tasks())
    for name in ("a", "b", "c"):
        server.kill()
        server.restart()
        await put_in_the_end(log, name)
        await hands.take(name)
    server.kill()
    server.restart()
    server.kill()
    server.restart()
    await put_in_the_end(log, "d")
    await hands.take("d")
    await until(lambda: len(asyncio.all_tasks()) <= tasks)


@scenario(timing=Timing(reply=60))
async def test_what_waits_is_unknown_as_soon_as_the_connection_is_lost(server, log):
    server.pause()
    waiting = [asyncio.create_task(put(log, name)) for name in "abc"]
    reading = asyncio.create_task(log.read(NAME, ["saga.t.s.>"]))
    await asyncio.wait(waiting, timeout=0.1)
    server.kill()
    assert await asyncio.gather(*waiting) == [WriteRefused.UNKNOWN] * 3
    with pytest.raises(UnavailableError, match="lost"):
        await reading


@scenario()
async def test_f6_killed_while_writing_nothing_that_was_confirmed_is_lost(server, log):
    confirmed: set[str] = set()

    async def write(writer: int) -> None:
        for n in range(150):
            await put_in_the_end(log, name := f"w{writer}-{n}")
            confirmed.add(name)

    hands = await consuming(log)
    writing = [asyncio.create_task(write(writer)) for writer in range(4)]
    for least in (100, 200, 300):
        await until(lambda least=least: len(confirmed) > least)
        server.kill()
        server.restart()
    await asyncio.gather(*writing)
    stored = {message.body.decode() for message in await log.read(NAME, ["saga.t.s.*"])}
    # F6: A server that comes back on its disk has every register that was confirmed
    assert stored == confirmed
    await hands.take(*confirmed)
    assert hands.most <= 4


@scenario(timing=Timing(heartbeat=0.5))
async def test_f10_a_pause_of_three_seconds(server, log):
    """Longer than it takes to miss the heartbeats, so that there are two pulls afterwards, for the same few slots."""
    hands = await consuming(log, slots=3)
    await put_in_the_end(log, "a")
    await hands.take("a")
    client = log._connection._client
    server.pause()
    await asyncio.sleep(3)
    server.resume()
    hands.go.clear()
    names = [f"n{n}" for n in range(12)]
    await asyncio.gather(*(put_in_the_end(log, name) for name in names))
    await until(lambda: hands.busy == 3)
    hands.go.set()
    await hands.take(*names)
    assert hands.most == 3
    # F10: A server that pauses is waited for (3 s)
    assert log._connection._client is client


@scenario()
async def test_f10_a_pause_that_is_too_long(server, log):
    hands = await consuming(log)
    server.pause()
    # F10: what was sent meanwhile is unknown
    assert await put(log, "a") is WriteRefused.UNKNOWN
    # F10: taken for dead (40 s)
    await until(lambda: not log.connected)
    server.resume()
    await put_in_the_end(log, "b")
    await hands.take("b")


@scenario(started=False)
async def test_f11_a_server_that_comes_later(server, log):
    """`start` came back although there was none."""
    assert not log.connected
    assert await put(log, "a") is WriteRefused.UNKNOWN
    with pytest.raises(UnavailableError):
        await log.read(NAME, ["saga.t.s.a"])
    hands = await consuming(log)
    heard: asyncio.Queue[str] = asyncio.Queue()
    await log.listen("saga.t.s.b", lambda subject, _: heard.put_nowait(subject))
    server.start()
    await until(lambda: log.connected)
    await provide(server)
    await put_in_the_end(log, "b")
    await hands.take("b")
    assert await heard.get() == "saga.t.s.b"


@scenario()
async def test_f28_the_consumer_is_deleted_and_comes_back(server, log):
    hands = await consuming(log)
    await put_in_the_end(log, "a")
    await hands.take("a")
    assert hands.subscription.problem == ""
    await api(server.url, f"CONSUMER.DELETE.{NAME}.c")
    await until(lambda: "Consumer Deleted" in hands.subscription.problem)
    await until(lambda: "nobody answers" in hands.subscription.problem)
    await put_in_the_end(log, "b")
    await provide_consumer(server.url)
    await hands.take("b")
    assert hands.subscription.problem == ""


@scenario()
async def test_f28_the_consumer_is_deleted_while_nothing_is_asked_for(server, log):
    hands = await consuming(log, slots=1)
    hands.go.clear()
    await put_in_the_end(log, "a")
    await hands.take("a")
    await api(server.url, f"CONSUMER.DELETE.{NAME}.c")
    await hands.subscription.inquire()  # as it does by the minute
    assert hands.subscription.problem == "consumer not found"
    await until(lambda: not [*server.directory.rglob("obs/c")])  # it says that it is deleted before its files are
    await provide_consumer(server.url)
    hands.go.set()
    await hands.take("a")
    await until(lambda: hands.subscription.problem == "")


@scenario()
async def test_closing_while_the_server_is_away(server, log):
    await consuming(log)
    server.pause()
    await put(log, "a")
    began = time.monotonic()
    await log.close()
    assert time.monotonic() - began < 8


@scenario()
async def test_closing_does_not_wait_for_deliveries(server, log):
    """Closing the subscription does (tests/contract)."""
    hands = await consuming(log)
    hands.go.clear()
    await put_in_the_end(log, "a")
    await hands.take("a")
    await log.close()
    assert log._connection.parts == (log._requests,)
    assert await put(log, "b") is WriteRefused.UNKNOWN


@scenario()
async def test_what_arrives_while_closing_goes_back_at_once(server, log):
    hands = await consuming(log)
    hands.go.clear()
    await put_in_the_end(log, "a")
    await hands.take("a")
    closing = asyncio.create_task(hands.subscription.close())
    await asyncio.sleep(0)
    async with await nats.connect(server.url) as client:
        late = await client.jetstream().pull_subscribe_bind(stream=NAME, durable="c")
        await put_in_the_end(log, "b")
        [b] = await late.fetch(1, timeout=5)
        await hands.subscription._on_message(b)  # as if it had been on its way
        [again] = await late.fetch(1, timeout=5)  # sooner than after its ack_wait
        assert (again.subject, again.metadata.num_delivered) == ("saga.t.s.b", 2)
        hands.go.set()
        await closing


# Clients that are deaf


@scenario(timing=Timing(heartbeat=60, expires=120, watch=60))
async def test_a_client_whose_reading_task_ends(server, log):
    """Found at once, not by looking. In nats-py an exception in a callback does this, and it stays `is_connected`."""
    hands = await consuming(log)
    await put_in_the_end(log, "a")
    await hands.take("a")
    log._connection._client._reading_task.cancel()
    assert await put(log, "b") is WriteRefused.UNKNOWN
    await put_in_the_end(log, "c")
    await hands.take("c")


def test_private_parts_of_nats_py(tmp_path):
    async def look(url: str) -> None:
        client = await nats.connect(url)
        subscription = await client.subscribe("a", cb=look)
        assert isinstance(client._reading_task, asyncio.Task)
        assert client._server_info["version"]
        assert client._pending == [b"SUB a  1\r\n"]
        assert client._pending_data_size == 10
        assert callable(client._transport._io_writer.transport.abort)
        assert list(client._subs.values()) == [subscription]
        assert callable(subscription._stop_processing)
        await client.close()
        assert client._reading_task.done()
        assert client._subs == {}

    with NatsServer(tmp_path) as server:
        asyncio.run(look(server.url))


@scenario()
async def test_what_is_not_sent_yet_is_cut_off(server, log):
    client = await nats.connect(server.url, allow_reconnect=False)
    await client.publish("saga.t.s.a", b"a")  # it goes out in the next turn of the loop
    hidden.cut(client)
    await hidden.bury(client)
    assert await put(log, "b") == 1
    assert [message.body for message in await log.read(NAME, ["saga.t.s.*"])] == [b"b"]


@scenario()
async def test_f13_a_connection_that_is_lost_without_a_word(server, log):
    """Its pulls live on at the server and swallow what comes, until `ack_wait` is over: nobody could do better."""
    await provide_consumer(server.url, "short", ack_wait=0.5)
    wire = Wire()
    timing = Timing(reply=0.5, watch=0.1, heartbeat=0.5, expires=10, ping=60)
    async with wire.opened(server.port), NatsLog(wire.url, name="wire", timing=timing) as log:
        hands = await consuming(log, "short")
        await put_in_the_end(log, "a")
        await hands.take("a")
        wire.freeze()
        await until(lambda: not log.connected)
        await put_in_the_end(log, "b")
        await hands.take("b")
        assert wire.connections == 2


# Rights


class StrictServer(NatsServer):
    def _config(self):
        rights = {
            "publish": ["saga.t.s.*", f"$JS.API.CONSUMER.MSG.NEXT.{NAME}.c", f"$JS.ACK.{NAME}.c.>"],
            "subscribe": ["_INBOX_small.>"],
        }
        users = [{"user": "admin", "password": "a"}, {"user": "small", "password": "s", "permissions": rights}]
        return {**super()._config(), "authorization": {"users": users}}


def test_f46_what_is_not_permitted_is_unknown_and_does_no_harm(tmp_path):
    async def play(server: NatsServer) -> None:
        url = server.url.replace("//", "//admin:a@")
        await api(url, f"STREAM.CREATE.{NAME}", STREAM)
        await provide_consumer(url)
        login = {"user": "small", "password": "s", "inbox_prefix": "_INBOX_small"}
        async with asyncio.timeout(20), NatsLog(server.url, name="small", timing=QUICK, **login) as log:
            client = log._connection._client
            hands = await consuming(log)  # without the right to ask what time it is
            await log.listen("elsewhere", lambda *_: None)
            assert await log.put("elsewhere.a", {}, b"") is WriteRefused.UNKNOWN
            with pytest.raises(UnavailableError):
                await log.read(NAME, ["saga.t.s.a"])
            assert await put(log, "a") == 1
            await hands.take("a")
            assert log._connection._client is client
            assert abs(log.now() - time.time()) < 1
            assert "permissions violation" in log.refused

    with StrictServer(tmp_path) as server:
        asyncio.run(play(server))


def test_f47_a_wrong_password_is_tried_again(tmp_path, caplog):
    async def play(server: NatsServer) -> None:
        async with NatsLog(server.url, name="small", timing=QUICK, user="small", password="x") as log:
            await until(lambda: caplog.text.lower().count("authorization violation") > 0)
            assert not log.connected
            assert await put(log, "a") is WriteRefused.UNKNOWN

    with StrictServer(tmp_path) as server:
        asyncio.run(play(server))


class Swallowing(NatsConnection):
    """A connection whose client swallows a cancel, as nats-py does while it closes."""

    swallowed = 0

    async def _live(self) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.swallowed += 1
            await asyncio.Event().wait()


def test_closing_ends_though_a_cancel_is_swallowed():
    async def play() -> Swallowing:
        async with asyncio.timeout(10):
            connection = Swallowing("nats://127.0.0.1:1", None, name="test", timing=QUICK, first_login={})
            await connection.start()
            await connection.close()
            return connection

    assert asyncio.run(play()).swallowed == 1


# Replies


@scenario()
async def test_f38_a_stream_that_is_full_is_no_register_that_exists(server, log):
    await api(server.url, "STREAM.CREATE.FULL", {**STREAM, "name": "FULL", "subjects": ["full.>"], "max_msgs": 1})
    assert await log.put("full.a", {}, b"") == 1
    # F38: writes are unknown
    assert await log.put("full.b", {}, b"") is WriteRefused.UNKNOWN
    assert await log.put("full.a", {}, b"") is WriteRefused.EXISTS


def refusal(code: int, description: str) -> bytes:
    return json.dumps({"error": {"code": 503, "err_code": code, "description": description}, "seq": 0}).encode()


@pytest.mark.parametrize(
    ("reply", "result"),
    [
        (b'{"stream":"S","seq":7}', 7),
        (b'{"stream":"S","seq":7,"duplicate":true,"domain":"d","new":{}}', 7),
        (refusal(10077, "maximum messages per subject exceeded"), WriteRefused.EXISTS),
        (refusal(10077, "maximum bytes exceeded"), WriteRefused.UNKNOWN),
        (refusal(10071, "wrong last sequence: 3"), WriteRefused.GUARD),
        (refusal(10164, "wrong last sequence"), WriteRefused.UNKNOWN),
        (refusal(10023, "insufficient resources"), WriteRefused.UNKNOWN),
        (refusal(10054, "message size exceeds maximum allowed"), WriteRefused.UNKNOWN),
        (b'{"error":{}}', WriteRefused.UNKNOWN),
        (b"{}", WriteRefused.UNKNOWN),
        (b"", WriteRefused.UNKNOWN),
        (b"-", WriteRefused.UNKNOWN),
    ],
)
def test_replies_to_a_put(reply, result):
    assert replies.put_result("a", {}, reply) == result


@pytest.mark.parametrize(
    "subject",
    [
        "$JS.ACK.SAGA_t_s.c.3.17.9.1795600984123456789.5",
        "$JS.ACK._.hash.SAGA_t_s.c.3.17.9.1795600984123456789.5",
        "$JS.ACK.hub.hash.SAGA_t_s.c.3.17.9.1795600984123456789.5.random",
    ],
)
def test_both_versions_of_ack_subjects(subject):
    assert replies.parse_ack_subject(subject) == (3, 17, 1795600984.123456)


def test_delays():
    assert replies.nak(0) == b"-NAK"
    assert replies.nak(1.5) == b'-NAK {"delay": 1500000000}'
