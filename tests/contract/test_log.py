"""What the sidecar asks of any log: over JetStream, on a real server, and over the one in memory."""

import asyncio
import contextlib
import functools
import itertools
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
import uvloop

import nats
from sagamesh.distribution import buckets, topology
from sagamesh.errors import UnavailableError
from sagamesh.protocol.attempt import WriteRefused
from sagamesh_sidecar.adapters.memory import MemoryLog, MemoryServer
from sagamesh_sidecar.adapters.nats import NatsLog, Timing
from sagamesh_sidecar.ports import Guard, Lease, Log
from support.servers.nats_server import NatsServer

KIB = 1024
numbers = itertools.count()


class World:
    """A stream of its own, its consumers, and any number of clients."""

    def __init__(self) -> None:
        self.saga = f"s{next(numbers)}"
        [self.config] = topology.streams("t", self.saga)
        self.stream = self.config["name"]

    def subject(self, rest: str) -> str:
        return f"saga.t.{self.saga}.{rest}"

    async def consumer(self, *filters: str, ack_wait: float = 10.0) -> str:
        """The name of a new consumer with these filters."""
        name = f"c{next(numbers)}"
        config = topology.consumer(name, [self.subject(one) for one in filters or (">",)])
        await self.provide_consumer({**config, "ack_wait": int(ack_wait * topology.SECOND)})
        return name

    @contextlib.asynccontextmanager
    async def open(self, _: str) -> AsyncIterator["World"]:
        await self.provide_stream(self.config)
        self.log = await self.client()
        yield self

    # Of each kind.

    async def provide_stream(self, config: topology.Config) -> None:
        raise NotImplementedError

    async def provide_consumer(self, config: topology.Config) -> None:
        raise NotImplementedError

    async def client(self) -> Log:
        raise NotImplementedError


class MemoryWorld(World):
    def __init__(self) -> None:
        super().__init__()
        self.server = MemoryServer()

    async def provide_stream(self, config):
        self.server.create_stream(config)

    async def provide_consumer(self, config):
        self.server.create_consumer(self.stream, config)

    async def client(self):
        return MemoryLog(self.server)


class NatsWorld(World):
    @contextlib.asynccontextmanager
    async def open(self, url: str) -> AsyncIterator[World]:
        self.url = url
        async with (
            await nats.connect(url) as self.admin,
            contextlib.AsyncExitStack() as self.stack,
            super().open(url),
        ):
            yield self

    async def api(self, verb: str, body: object) -> None:
        reply = json.loads((await self.admin.request(f"$JS.API.{verb}", json.dumps(body).encode(), timeout=5)).data)
        assert "error" not in reply, reply

    async def provide_stream(self, config):
        await self.api(f"STREAM.CREATE.{config['name']}", config)

    async def provide_consumer(self, config):
        body = {"stream_name": self.stream, "action": "create", "config": config}
        await self.api(f"CONSUMER.CREATE.{self.stream}.{config['name']}", body)

    async def client(self):
        return await self.stack.enter_async_context(NatsLog(self.url, name="test", timing=Timing(heartbeat=1)))


WORLDS = {"memory": MemoryWorld, "nats": NatsWorld}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    with NatsServer(tmp_path_factory.mktemp("nats")) as running:
        yield running


@pytest.fixture(params=WORLDS)
def opened(request: pytest.FixtureRequest) -> Callable[[], contextlib.AbstractAsyncContextManager[World]]:
    url = request.getfixturevalue("server").url if request.param == "nats" else ""
    return lambda: WORLDS[request.param]().open(url)


def scenario(body: Callable[[World], Awaitable[None]]) -> Callable[..., None]:
    """Make `async def test(world)` a test, on the loop that the sidecar has."""

    def test(opened) -> None:
        async def play() -> None:
            async with asyncio.timeout(20), opened() as world:
                await body(world)

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(play())

    test.__name__, test.__doc__ = body.__name__, body.__doc__
    return test


class Hands:
    """A handler whose deliveries the test takes, and lets go of."""

    def __init__(self, *, holding: bool = False) -> None:
        self.came: asyncio.Queue[Lease] = asyncio.Queue()
        self.go = asyncio.Semaphore(0 if holding else 1_000_000)
        self.busy = self.most = 0

    async def accept(self, lease: Lease) -> None:
        self.busy += 1
        self.most = max(self.most, self.busy)
        self.came.put_nowait(lease)
        await self.go.acquire()
        self.busy -= 1

    async def next(self) -> Lease:
        return await self.came.get()

    async def take(self, count: int) -> list[Lease]:
        return [await self.next() for _ in range(count)]


def subjects(messages) -> list[str]:
    return [message.subject.split(".", 3)[-1] for message in messages]


async def fill(world: World, *names: str) -> None:
    for name in names:
        assert isinstance(await world.log.put(world.subject(name), {}, name.encode()), int)


async def store(world: World, *names: str) -> None:
    """All at once, and however long it takes: a server that is busy answers some too late, which says nothing."""

    async def one(name: str) -> None:
        while await world.log.put(world.subject(name), {}, b"") is WriteRefused.UNKNOWN:
            pass

    await asyncio.gather(*map(one, names))


# Writing


@scenario
async def test_a_register_is_written_once(world):
    put = functools.partial(world.log.put, world.subject("i.a.end"), {})
    first = await put(b"one")
    assert first == 1
    assert await put(b"one") is WriteRefused.EXISTS
    assert await put(b"two") is WriteRefused.EXISTS
    assert await world.log.put(world.subject("i.b.end"), {}, b"") == 2
    [message] = await world.log.read(world.stream, [world.subject("i.a.end")])
    assert (message.sequence, message.body) == (first, b"one")


@scenario
async def test_of_many_writers_one_wins(world):
    logs = [world.log, await world.client(), await world.client()]
    for turn in range(10):
        subject = world.subject(f"i{turn}.a.end")
        results = await asyncio.gather(*(log.put(subject, {}, b"%d" % n) for n, log in enumerate(logs * 4)))
        [winner] = [n for n, result in enumerate(results) if isinstance(result, int)]
        assert results.count(WriteRefused.EXISTS) == len(results) - 1
        [message] = await world.log.read(world.stream, [subject])
        assert (message.body, message.sequence) == (b"%d" % winner, results[winner])


@scenario
async def test_guard_that_something_is_absent(world):
    awaited = world.subject("i.a.end")
    assert await world.log.put(world.subject("i.b.absent.1"), {}, b"", guard=Guard(awaited, 0)) == 1
    await fill(world, "i.a.end")
    assert await world.log.put(world.subject("i.b.absent.2"), {}, b"", guard=Guard(awaited, 0)) is WriteRefused.GUARD
    assert subjects(await world.log.read(world.stream, [world.subject(">")])) == ["i.b.absent.1", "i.a.end"]


@scenario
async def test_guard_that_something_stands_where_it_stood(world):
    await fill(world, "other", "i._.start")
    start = world.subject("i._.start")
    assert await world.log.put(world.subject("i.a.begin"), {}, b"", guard=Guard(start, 2)) == 3
    assert await world.log.put(world.subject("i.b.begin"), {}, b"", guard=Guard(start, 1)) is WriteRefused.GUARD
    assert await world.log.put(world.subject("i.b.begin"), {}, b"", guard=Guard(start, 3)) is WriteRefused.GUARD
    gone = Guard(world.subject("gone._.start"), 2)
    assert await world.log.put(world.subject("i.b.begin"), {}, b"", guard=gone) is WriteRefused.GUARD


@scenario
async def test_guards_are_looked_at_first(world):
    """A single server does; the core does not rely on it."""
    await fill(world, "i._.start", "i.a.begin")
    start, begin = world.subject("i._.start"), world.subject("i.a.begin")
    assert await world.log.put(begin, {}, b"", guard=Guard(start, 1)) is WriteRefused.EXISTS
    assert await world.log.put(begin, {}, b"", guard=Guard(start, 7)) is WriteRefused.GUARD
    assert await world.log.put(begin, {}, b"", guard=Guard(start, 0)) is WriteRefused.GUARD


@scenario
async def test_a_write_that_no_stream_takes_is_unknown(world):
    assert await world.log.put("elsewhere.a", {}, b"") is WriteRefused.UNKNOWN


@pytest.mark.parametrize(
    "subject",
    ["", ".", "a.", ".a", "a..b", "a b", "a\tb", "a\r\nPUB b 0", "a\x00b", "a.*", "a.>", "a*b", "a\x7f", "a\u2028b"],
)
def test_subjects_that_cannot_be_sent(opened, subject):
    @scenario
    async def test(world):
        with pytest.raises(ValueError, match="literal subject"):
            await world.log.put(subject, {}, b"")

    test(opened)


@pytest.mark.parametrize(
    "headers", [{"": "a"}, {"a b": "c"}, {"a:b": "c"}, {"ä": "c"}, {"a\r\nb": "c"}, {"a": "b\r\nc: d"}, {"a": "b\x00"}]
)
def test_headers_that_cannot_be_sent(opened, headers):
    @scenario
    async def test(world):
        with pytest.raises(ValueError, match="header"):
            await world.log.put(world.subject("i.a.end"), headers, b"")
        assert await world.log.read(world.stream, [world.subject(">")]) == ()

    test(opened)


@scenario
async def test_the_largest_message_and_one_byte_more(world):
    headers = {"a": "ä", "name": "value"}
    block = len("NATS/1.0\r\na: ä\r\nname: value\r\n\r\n".encode())
    body = bytes(topology.MAX_MESSAGE - block)
    with pytest.raises(ValueError, match=r"327681 bytes with its headers, and at most 327680"):
        await world.log.put(world.subject("i.a.end"), headers, body + b"x")
    assert await world.log.put(world.subject("i.a.end"), headers, body) == 1
    assert world.log.connected


# Reading


@scenario
async def test_reading(world):
    async def read(*patterns: str) -> list[str]:
        return subjects(await world.log.read(world.stream, [world.subject(one) for one in patterns]))

    await fill(world, "i.b.end", "i.a.end", "j.a.end", "i._.start")
    assert await read("i.a.end") == ["i.a.end"]
    assert await read("i.c.end") == []
    assert await read() == []
    assert await read("i.>") == ["i.b.end", "i.a.end", "i._.start"]
    assert await read("*.a.end") == ["i.a.end", "j.a.end"]
    assert await read("k.>") == []
    assert await read("i._.start", "i.c.end", "i.b.end") == ["i.b.end", "i._.start"]
    assert await read("i.c.end", "i.d.end") == []
    assert await read("i.a.end", "i.a.end", "*.a.end") == ["i.a.end", "j.a.end"]


@scenario
async def test_reading_on_from_where_one_was_however_much_there_is(world):
    one = await world.log.put(world.subject("x.1"), {}, b"1")
    other = await world.log.put(world.subject("y.1"), {}, b"2")
    assert await world.log.read_after(world.stream, world.subject("z.*"), 0) == ()
    assert [m.sequence for m in await world.log.read_after(world.stream, world.subject("*.1"), 0)] == [one, other]
    assert [m.body for m in await world.log.read_after(world.stream, world.subject("*.1"), one)] == [b"2"]
    assert await world.log.read_after(world.stream, world.subject("*.1"), other) == ()
    await store(world, *(f"x.{n}" for n in range(2, 1102)))
    many = await world.log.read_after(world.stream, world.subject("x.*"), 0)
    assert len({message.subject for message in many}) == 1101
    assert [m.sequence for m in many] == sorted(m.sequence for m in many)


@scenario
async def test_reading_more_than_a_server_gives_at_once(world):
    await store(world, *(f"i.{n}.end" for n in range(1100)))
    found = await world.log.read(world.stream, [world.subject("i.>"), world.subject("i.7.end")])
    assert len({message.subject for message in found}) == len(found) == 1100
    assert [m.sequence for m in found] == sorted(m.sequence for m in found)


@scenario
async def test_reading_many_that_are_large(world):
    names = [f"i.{n}.end" for n in range(20)]
    for name in names:
        await world.log.put(world.subject(name), {}, name.encode() + bytes(256 * KIB))
    for patterns in (["i.>"], names):
        found = await world.log.read(world.stream, [world.subject(one) for one in patterns])
        assert subjects(found) == names


@scenario
async def test_many_readers_do_not_mix_their_answers(world):
    names = [f"i{n}.{step}.end" for n in range(20) for step in "abc"]
    await fill(world, *names)
    for found, n in zip(
        await asyncio.gather(*(world.log.read(world.stream, [world.subject(f"i{n}.>")]) for n in range(20))),
        range(20),
        strict=True,
    ):
        assert subjects(found) == names[3 * n : 3 * n + 3]


@scenario
async def test_a_stream_that_does_not_answer(world):
    for patterns in (["a.b"], ["a.>"], ["a.b", "a.c"]):
        with pytest.raises(UnavailableError):
            await world.log.read("SAGA_t_none", patterns)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({}, b""),
        ({}, bytes(range(256))),
        ({"ce-id": "r/a/b", "traceparent": "00-1-2-01"}, b'{"value": "done"}'),
        ({"UPPER": "a: b;c, d", "empty": "", "umlaut": "äöü \N{SNOWMAN}"}, b"\r\n"),
        ({"Status": "404", "Description": "no status line"}, b""),
        ({"x": "y" * 4000}, b"z" * 256 * KIB),
    ],
)
def test_a_message_comes_back_as_it_was_written(opened, headers, body):
    @scenario
    async def test(world):
        await fill(world, "other")
        subject, hands = world.subject("i.a.end"), Hands()
        before = time.time()
        await world.log.put(subject, headers, body, guard=Guard(world.subject("other"), 1))
        await world.log.consume(world.stream, await world.consumer("i.>"), hands.accept, slots=1)
        message = (await hands.next()).message
        assert (message.subject, message.headers, message.body, message.sequence) == (subject, headers, body, 2)
        assert before - 0.001 <= message.time <= time.time() + 0.001
        assert await world.log.read(world.stream, [subject]) == (message,)  # to the microsecond
        assert (await world.log.read(world.stream, [world.subject(">")]))[1] == message

    test(opened)


@scenario
async def test_the_rules_bucket(world):
    """Not write-once, and pushed as it is written."""
    with contextlib.suppress(AssertionError):  # of a test before
        await world.provide_stream(buckets.rules_bucket())
    heard: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()
    await world.log.listen(buckets.pushed_subjects("t", world.saga), lambda *what: heard.put_nowait(what))
    key = buckets.active_subject("t", world.saga, "s")
    first, second = [await world.log.put(key, {}, body) for body in (b"one", b"two")]
    assert second > first
    [message] = await world.log.read("KV_sagamesh-rules", [key])
    assert (message.sequence, message.body) == (second, b"two")
    assert [await heard.get(), await heard.get()] == [
        (f"sagamesh.rules.t.{world.saga}.s.active", b"one"),
        (f"sagamesh.rules.t.{world.saga}.s.active", b"two"),
    ]


@scenario
async def test_a_listener_that_raises_hears_the_next(world):
    heard: asyncio.Queue[str] = asyncio.Queue()

    def hear(subject: str, _: bytes) -> None:
        heard.put_nowait(subject)
        raise ZeroDivisionError

    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    await world.log.listen(world.subject("*.a.end"), hear)
    await fill(world, "i.a.end", "i.b.end", "j.a.end")
    assert [await heard.get(), await heard.get()] == [world.subject("i.a.end"), world.subject("j.a.end")]


# Deliveries


@scenario
async def test_what_was_there_and_what_comes(world):
    hands = Hands()
    await fill(world, "i.a.end")
    subscription = await world.log.consume(world.stream, await world.consumer(), hands.accept, slots=4)
    assert subjects([(await hands.next()).message]) == ["i.a.end"]
    assert subscription.problem == ""
    await fill(world, "i.b.end")
    lease = await hands.next()
    assert (subjects([lease.message]), lease.delivered) == (["i.b.end"], 1)


@scenario
async def test_filters(world):
    hands = Hands()
    consumer = await world.consumer("*._.start", "*.a.end")
    await world.log.consume(world.stream, consumer, hands.accept, slots=8)
    await fill(world, "i._.start", "i.a.begin", "i.a.end", "i.b.end", "j._.start")
    leases = await hands.take(3)
    assert subjects(lease.message for lease in leases) == ["i._.start", "i.a.end", "j._.start"]


@scenario
async def test_ack_wait_hands_it_out_again_and_an_ack_ends_that(world):
    hands = Hands()
    await world.log.consume(world.stream, await world.consumer(ack_wait=0.2), hands.accept, slots=4)
    await fill(world, "acked", "kept")
    acked, kept = await hands.take(2)
    await acked.ack()
    for time_ in (2, 3, 4):
        lease = await hands.next()
        assert (lease.message, lease.delivered) == (kept.message, time_)


@scenario
async def test_a_late_ack_settles(world):
    hands = Hands()
    await world.log.consume(world.stream, await world.consumer(ack_wait=0.2), hands.accept, slots=4)
    await fill(world, "late")
    late = await hands.next()
    assert (await hands.next()).delivered == 2
    await late.ack()
    await fill(world, "kept")
    for time_ in (1, 2, 3):
        lease = await hands.next()
        assert (subjects([lease.message]), lease.delivered) == (["kept"], time_)


@pytest.mark.parametrize("delay", [0, 0.3])
def test_nak(opened, delay):
    @scenario
    async def test(world):
        hands = Hands()
        await world.log.consume(world.stream, await world.consumer(), hands.accept, slots=1)
        await fill(world, "a", "b")
        first, other = await hands.take(2)
        naked = time.monotonic()
        await first.nak(delay)
        again = await hands.next()
        assert (again.message, again.delivered) == (first.message, 2)
        assert delay - 0.02 <= time.monotonic() - naked < delay + 2
        await other.ack()
        await again.ack()

    test(opened)


@scenario
async def test_signs_of_life_keep_the_lease(world):
    hands = Hands()
    await world.log.consume(world.stream, await world.consumer(ack_wait=0.3), hands.accept, slots=4)
    await fill(world, "alive", "dead")
    alive, dead = await hands.take(2)
    while dead.delivered < 4:  # three times `ack_wait`
        await alive.in_progress()
        with contextlib.suppress(TimeoutError):
            dead = await asyncio.wait_for(hands.next(), 0.1)
            assert subjects([dead.message]) == ["dead"]
    alive_again = dead
    while alive_again.message != alive.message:  # no more signs
        alive_again = await hands.next()
    assert alive_again.delivered == 2


@scenario
async def test_never_more_than_the_slots(world):
    names = [f"i{n}.a.end" for n in range(20)]
    await fill(world, *names[:10])
    hands = Hands(holding=True)
    await world.log.consume(world.stream, await world.consumer(), hands.accept, slots=3)
    leases = await hands.take(3)
    await fill(world, *names[10:])
    for _ in range(17):
        hands.go.release()
        leases.append(await hands.next())
    assert hands.most == 3
    assert sorted(subjects(lease.message for lease in leases)) == sorted(names)
    assert {lease.delivered for lease in leases} == {1}
    for lease in leases:
        await lease.ack()
        hands.go.release()


@scenario
async def test_two_share_the_work(world):
    consumer = await world.consumer()
    both = Hands(holding=True), Hands(holding=True)
    for hands in both:
        await (await world.client()).consume(world.stream, consumer, hands.accept, slots=5)
    names = [f"i{n}.a.end" for n in range(10)]
    await fill(world, *names)
    leases = [lease for hands in both for lease in await hands.take(5)]
    assert sorted(subjects(lease.message for lease in leases)) == names
    assert {lease.delivered for lease in leases} == {1}
    for hands in both:
        for _ in range(5):
            hands.go.release()


@scenario
async def test_close_waits_for_what_is_in_hand_and_leaves_the_rest_to_others(world):
    consumer = await world.consumer()
    leaving, staying = Hands(holding=True), Hands()
    subscription = await world.log.consume(world.stream, consumer, leaving.accept, slots=3)
    await fill(world, "a", "b")
    leases = await leaving.take(2)
    closing = asyncio.create_task(subscription.close())
    await (await world.client()).consume(world.stream, consumer, staying.accept, slots=8)
    await fill(world, "c", "d")
    others = await staying.take(2)
    assert sorted(subjects(lease.message for lease in others)) == ["c", "d"]
    assert not closing.done()
    for lease in leases:
        await lease.ack()
        leaving.go.release()
    await closing
    await subscription.close()  # once more does no harm
    assert leaving.came.empty()
    assert leaving.busy == 0


@scenario
async def test_a_handler_that_raises_does_not_stop_the_next(world):
    came: asyncio.Queue[str] = asyncio.Queue()

    async def accept(lease: Lease) -> None:
        came.put_nowait(lease.message.subject)
        await lease.ack()
        raise ZeroDivisionError

    await world.log.consume(world.stream, await world.consumer(), accept, slots=1)
    await fill(world, "a", "b", "c")
    assert [await came.get() for _ in range(3)] == [world.subject(name) for name in "abc"]


@scenario
async def test_throughput_does_not_lose_anything(world):
    """Many small ones, two clients, few slots, each delivery acked by a handler that writes."""
    count = 300
    consumer = await world.consumer("*.a.begin")
    done: asyncio.Queue[str] = asyncio.Queue()

    async def accept(lease: Lease) -> None:
        subject = lease.message.subject.replace(".begin", ".end")
        assert isinstance(await log.put(subject, {}, b""), int)
        await lease.ack()
        done.put_nowait(subject)

    for log in (world.log, await world.client()):
        await log.consume(world.stream, consumer, accept, slots=7)
    await asyncio.gather(*(fill(world, f"i{n}.a.begin") for n in range(count)))
    assert len({await done.get() for _ in range(count)}) == count


# The rest


@scenario
async def test_the_servers_time(world):
    hands = Hands()
    assert abs(world.log.now() - time.time()) < 0.5
    await world.log.consume(world.stream, await world.consumer(), hands.accept, slots=1)
    await fill(world, "a")
    await hands.next()
    assert abs(world.log.now() - time.time()) < 0.5


@scenario
async def test_connected(world):
    assert world.log.connected


# What only the one in memory can be asked for


def in_memory(body: Callable[[World, MemoryServer], Awaitable[None]]) -> Callable[[], None]:
    async def with_server(world: World) -> None:
        assert isinstance(world, MemoryWorld)
        await body(world, world.server)

    def test() -> None:
        scenario(with_server)(lambda: MemoryWorld().open(""))

    test.__name__, test.__doc__ = body.__name__, body.__doc__
    return test


@in_memory
async def test_lost_replies(world, server):
    server.lose_replies(2)
    assert await world.log.put(world.subject("a"), {}, b"") is WriteRefused.UNKNOWN
    assert await world.log.put(world.subject("a"), {}, b"") is WriteRefused.UNKNOWN
    assert await world.log.put(world.subject("a"), {}, b"") is WriteRefused.EXISTS
    assert subjects(server.messages(world.stream)) == ["a"]


@in_memory
async def test_stale_reads(world, server):
    await fill(world, "a")
    server.stale(1)
    assert await world.log.read(world.stream, [world.subject("a")]) == ()
    assert subjects(await world.log.read(world.stream, [world.subject("a")])) == ["a"]


@in_memory
async def test_down_and_up(world, server):
    hands = Hands()
    await world.log.consume(world.stream, await world.consumer(ack_wait=0.1), hands.accept, slots=2)
    await fill(world, "a")
    lease = await hands.next()
    server.down()
    await lease.ack()  # nobody hears it
    assert not world.log.connected
    assert await world.log.put(world.subject("b"), {}, b"") is WriteRefused.UNKNOWN
    with pytest.raises(UnavailableError):
        await world.log.read(world.stream, [world.subject("a")])
    server.up()
    again = await hands.next()
    assert (again.message, again.delivered) == (lease.message, 2)
    assert subjects(server.messages(world.stream)) == ["a"]
