"""What keeps a client of NATS alive, over clients in memory: when it is replaced, and what is not sent any more."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from sagamesh.errors import UnavailableError
from sagamesh_jetstream.client import login
from sagamesh_jetstream.client.connection import NatsConnection, Timing
from sagamesh_jetstream.client.listener import Listener
from sagamesh_jetstream.client.requests import RequestError, Requests
from sagamesh_jetstream.client.session import Bell
from sagamesh_sidecar.adapters.nats.puller import NatsLease

URL = "nats://me:s3cret@one:4222,nats://two:4222"
SHOWN = "nats://one:4222,nats://two:4222"
QUIET = Timing(start=5, watch=60)
"""Nobody looks at the client while a test lasts."""


class MemoryClient:
    """Of nats-py's client, what a connection uses. It is connected as soon as it is asked to be.

    `refusals`: why not; all but the last are reported, as nats-py does of each server that it tries; that is raised.
    `slow`: to subscribe it takes until that is cleared.
    """

    def __init__(self, *refusals: Exception) -> None:
        self.refusals = refusals
        self.slow = False
        self.sent: list[str] = []
        self.is_closed = False
        self.max_payload = 1000
        self.stats = {"in_msgs": 0}
        self.last_error = None
        self.aborted = False
        self._reading_task: asyncio.Task[Any] | None = None
        self._ping_interval_task: asyncio.Task[Any] | None = None
        self._subs: dict[int, Any] = {}
        self._pending, self._pending_data_size = [b"PUB of before"], 13
        self._transport = SimpleNamespace(_io_writer=SimpleNamespace(transport=SimpleNamespace(abort=self._abort)))

    async def connect(self, *, error_cb: Callable[[Exception], Awaitable[None]], **_: Any) -> None:
        for refusal in self.refusals[:-1]:
            await error_cb(refusal)
        for refusal in self.refusals[-1:]:
            raise refusal
        self._reading_task = asyncio.create_task(asyncio.Event().wait())
        self._ping_interval_task = asyncio.create_task(asyncio.Event().wait())

    async def subscribe(self, subject: str, **_: Any) -> None:
        while self.slow:
            await asyncio.sleep(0)
        self.sent.append(f"SUB {subject}")

    async def publish(self, subject: str, body: bytes, *, reply: str, headers: object) -> None:
        self.sent.append(subject)

    async def close(self) -> None:
        self.is_closed = True
        self.sent += map(bytes.decode, self._pending)
        for task in (self._reading_task, self._ping_interval_task):
            if task is not None:
                task.cancel()

    def new_inbox(self) -> str:
        return "_INBOX"

    def _abort(self) -> None:
        self.aborted = True


class World:
    """A connection, the clients that it had, and its clock. `refusals`: of the first one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, timing: Timing, *refusals: Exception) -> None:
        self.clients: list[MemoryClient] = []
        self.now = 100.0
        self.slow = False
        self.haste = 0.0  # seconds that pass whenever a client is made
        self.probes = itertools.count()

        def client() -> MemoryClient:
            self.clients.append(MemoryClient(*(() if self.clients else refusals)))
            self.clients[-1].slow = self.slow
            self.now += self.haste
            return self.clients[-1]

        async def probe() -> bool:
            next(self.probes)
            await asyncio.Event().wait()
            return True

        monkeypatch.setattr(login, "NatsClient", client)
        self.connection = NatsConnection(URL, probe, name="test", timing=timing, first_login={}, clock=lambda: self.now)

    async def connected(self, times: int) -> None:
        while self.connection.opened < times:
            await asyncio.sleep(0.001)


Scenario = Callable[[World], Awaitable[None]]
Play = Callable[..., None]


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Play:
    def run(scenario: Scenario, timing: Timing = QUIET, *refusals: Exception, started: bool = True) -> None:
        async def whole() -> None:
            world = World(monkeypatch, timing, *refusals)
            async with asyncio.timeout(10):
                if started:
                    await world.connection.start()
                await scenario(world)
                await world.connection.close()

        asyncio.run(whole())

    return run


# -- a process that stood still


def test_a_write_that_finds_a_gap_is_not_sent_and_the_client_is_replaced(
    play: Play, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(on: World) -> None:
        await on.connection.publish("a", b"")
        on.now += 30.0
        await on.connection.publish("b", b"")
        on.now += 30.5
        with pytest.raises(UnavailableError, match=f"^the connection to NATS at {SHOWN} was lost$"):
            await on.connection.publish("c", b"")
        with pytest.raises(UnavailableError, match="was lost"):
            await on.connection.publish("d", b"")
        assert not on.connection.connected
        await on.connected(2)
        await on.connection.publish("e", b"")
        old, new = on.clients
        assert (old.sent, new.sent) == (["a", "b"], ["e"]), "what nats-py had yet to send is not sent either"
        assert old.aborted
        assert old.is_closed
        assert on.connection.gaps == 1

    play(scenario)
    assert f"NATS at {SHOWN}: this process stood still for 30.5 s, and begins anew" in caplog.text


def test_a_gap_is_found_by_the_next_look_where_nobody_writes(play: Play) -> None:
    async def scenario(on: World) -> None:
        on.now += 31.0
        await on.connected(2)
        assert on.connection.gaps == 1
        await on.connection.publish("a", b"")
        assert [client.sent for client in on.clients] == [[], ["a"]]

    play(scenario, Timing(start=5, watch=0.01))


def test_another_death_is_not_told_as_a_gap(play: Play, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(on: World) -> None:
        on.now += 31.0
        await on.connected(2)
        reading = on.clients[1]._reading_task
        assert reading is not None
        reading.cancel()
        await on.connected(3)

    play(scenario, Timing(start=5, watch=0.01))
    assert f"NATS at {SHOWN}: the connection was closed: nobody says why" in caplog.text


def test_how_long_is_too_long_can_be_set(play: Play) -> None:
    async def scenario(on: World) -> None:
        on.now += 2.0
        with pytest.raises(UnavailableError):
            await on.connection.publish("a", b"")

    play(scenario, Timing(start=5, watch=60, gap=1.9))


def test_a_gap_between_two_clients_is_counted_and_ends_neither(play: Play, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(on: World) -> None:
        reading = on.clients[0]._reading_task
        assert reading is not None
        reading.cancel()
        while on.connection.connected:
            await asyncio.sleep(0)
        on.now += 31.0
        await on.connected(2)
        await on.connection.publish("a", b"")
        assert on.connection.gaps == 1
        assert len(on.clients) == 2
        reading = on.clients[1]._reading_task
        assert reading is not None
        reading.cancel()
        await on.connected(3)

    play(scenario)
    assert "stood still" not in caplog.text


def test_a_server_that_is_away_for_long_makes_no_gap(play: Play) -> None:
    async def scenario(on: World) -> None:
        on.haste = 20.0
        await on.connection.start()
        assert len(on.clients) == 2
        assert on.connection.gaps == 0

    play(scenario, QUIET, OSError("nobody is there"), started=False)


def test_a_gap_while_a_client_connects_costs_it_nothing(play: Play) -> None:
    async def scenario(on: World) -> None:
        on.haste = 31.0
        await on.connection.start()
        await on.connection.publish("a", b"")
        assert on.connection.gaps == 1
        assert len(on.clients) == 1

    play(scenario, started=False)


def test_a_client_that_is_lost_while_parts_move_to_it_is_none(play: Play) -> None:
    class Part:
        async def opened(self, client: Any, /) -> None:
            if len(on_it) == 0:
                on_it.append(client)
                client._reading_task.cancel()
                await asyncio.sleep(0.01)

        def lost(self) -> None:
            """There is nothing to do."""

    on_it: list[Any] = []

    async def scenario(on: World) -> None:
        on.connection.parts = (Part(),)
        with pytest.raises(UnavailableError, match=f"^NATS at {SHOWN} cannot be reached: the connection was lost at"):
            await on.connection.try_once()
        with pytest.raises(UnavailableError, match="cannot be reached"):
            await on.connection.publish("a", b"")
        await on.connected(1)
        assert len(on.clients) == 2

    play(scenario, started=False)


def test_a_request_under_way_ends_with_the_gap(play: Play) -> None:
    async def scenario(on: World) -> None:
        requests = Requests(on.connection, 60)
        await on.connection.attach(requests)
        waiting = asyncio.create_task(requests.ask("a"))
        await asyncio.sleep(0)
        on.now += 31.0
        with pytest.raises(UnavailableError):
            await requests.ask("b")
        with pytest.raises(RequestError, match=r"^a: the connection to NATS was lost before the reply came$"):
            await waiting
        with pytest.raises(UnavailableError, match=f"^the connection to NATS at {SHOWN} was lost$"):
            await requests.ask("c")
        await on.connected(2)
        assert [subject for client in on.clients for subject in client.sent] == ["SUB _INBOX.*", "a", "SUB _INBOX.*"]

    play(scenario)


def test_nothing_is_asked_before_a_reply_would_find_its_way(play: Play) -> None:
    async def scenario(on: World) -> None:
        requests = Requests(on.connection, 60)
        await on.connection.attach(requests)
        on.now, on.slow = on.now + 31.0, True
        with pytest.raises(UnavailableError):
            await requests.ask("a")
        while not on.connection.connected:
            await asyncio.sleep(0.001)
        with pytest.raises(UnavailableError, match=f"^the connection to NATS at {SHOWN} was lost$"):
            await requests.ask("b")
        on.clients[1].slow = False
        await on.connected(2)
        assert on.clients[1].sent == ["SUB _INBOX.*"]

    play(scenario)


def test_a_lease_from_before_a_gap_is_lost_though_the_server_renews_it() -> None:
    async def ask(*_: object) -> None:
        """The server says yes."""

    connection: Any = SimpleNamespace(gaps=0)
    requests: Any = SimpleNamespace(ask=ask)
    reply = "$JS.ACK.SAGA_t_s.c.1.17.9.1795600984123456789.5"
    came: Any = SimpleNamespace(subject="saga.t.s.i._.start", reply=reply, headers=None, data=b"{}")
    lease = NatsLease(connection, requests, came)
    assert asyncio.run(lease.in_progress())
    connection.gaps += 1
    assert not asyncio.run(lease.in_progress())
    assert asyncio.run(NatsLease(connection, requests, came).in_progress()), "this one came after the gap"


def test_a_bell_tells_once_that_a_client_is_gone_and_only_of_one_that_it_has_told_of() -> None:
    news: list[str] = []
    session: Any = SimpleNamespace(opened=lambda: news.append("opened"), lost=lambda: news.append("lost"))
    bell, client = Bell(session), cast("Any", None)
    bell.lost()
    assert news == []
    asyncio.run(bell.opened(client))
    bell.lost()
    bell.lost()
    assert news == ["opened", "lost"]


# -- how it begins, and how deafness is found


def test_a_client_that_hears_nothing_is_replaced_however_patient_the_probe_is(play: Play) -> None:
    class Part:
        async def opened(self, _: object) -> None:
            news.append("opened")

        def lost(self) -> None:
            news.append("lost")

    news: list[str] = []

    async def scenario(on: World) -> None:
        on.connection.parts = (Part(),)
        await on.connection.start()
        await on.connected(2)
        assert next(on.probes) == 2
        assert news == ["opened", "lost", "opened"]

    play(scenario, Timing(start=5, watch=0.01, reply=0.02), started=False)


def test_the_first_try_says_why_it_failed_without_a_password(play: Play) -> None:
    async def scenario(on: World) -> None:
        assert on.connection.problem == f"NATS at {SHOWN} was not reached yet"
        with pytest.raises(UnavailableError, match=f"^NATS at {SHOWN} cannot be reached: nobody is there$"):
            await on.connection.try_once()
        await on.connected(1)
        assert on.connection.problem == ""

    play(scenario, QUIET, OSError("nobody is there"), started=False)


@pytest.mark.parametrize(
    ("refusals", "words"),
    [
        ([TimeoutError()], "nothing there answers as a NATS server does"),
        ([RuntimeError()], r"RuntimeError\(\)"),
        ([OSError("refused by one"), OSError("refused by two"), RuntimeError("no servers")], "refused by two"),
        ([OSError("refused by one"), login.LoginError("no such file")], "no such file"),
    ],
)
def test_every_refusal_has_words(play: Play, refusals: list[Exception], words: str) -> None:
    """What a server said tells more than what nats-py makes of it; what our own login says tells most."""

    async def scenario(on: World) -> None:
        with pytest.raises(UnavailableError, match=f"cannot be reached: {words}$"):
            await on.connection.try_once()
        assert on.connection.locked_out == (words if isinstance(refusals[-1], login.LoginError) else "")

    play(scenario, QUIET, *refusals, started=False)


def test_a_request_without_a_client_fails_at_once(play: Play) -> None:
    async def scenario(on: World) -> None:
        requests = Requests(on.connection, 60)
        with pytest.raises(UnavailableError, match=r"was not reached yet$"):
            await requests.ask("a")
        assert on.connection.server_info == {}
        assert on.connection.max_payload is None

    play(scenario, started=False)


def test_a_listener_that_raises_hears_on(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[bytes] = []

    def hear(_: str, body: bytes) -> None:
        heard.append(body)
        raise ValueError(body)

    async def scenario() -> None:
        listener = Listener("news.>", hear)
        for body in (b"a", b"b"):
            await listener._on_message(cast("Any", SimpleNamespace(subject="news.today", data=body)))

    asyncio.run(scenario())
    assert heard == [b"a", b"b"]
    assert "news.today: the listener raised" in caplog.text
