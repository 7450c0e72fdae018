"""A deleted saga leaves NATS on a real server: not before everything has ended, and never with something accepted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterator, Sequence
from typing import Any

import pytest

from sagamesh.distribution import buckets
from sagamesh.language.model import Action, Compensation, Emit, Saga, StartSpec, Step
from sagamesh.log import codec, registers
from sagamesh.log.registers import ABORT, FINISH, OUTCOME, START, Instance, Name, Origin, SagaKey, Value
from sagamesh.rules.local import LocalRules
from sagamesh.rules.projection import project
from sagamesh_cli.local.nats_server import EmbeddedServer
from sagamesh_jetstream.client.ports import JetStream, JetStreamError, JsonObject
from sagamesh_jetstream.client.session import NatsJetStream, connect
from sagamesh_jetstream.upkeep.distribute import distribute
from sagamesh_jetstream.upkeep.retire import Retiring, left_over, retire
from sagamesh_sidecar.adapters.nats import NatsLog
from support.servers.nats_server import emptied

KEY = SagaKey("shop", "checkout")
LOG = "SAGA_shop_checkout"
CAUSE = registers.Cause(step="charge", kind="refused", reason="no")
ABORTED, NOTICE = registers.Aborted(cause=CAUSE), registers.Notice(cause=CAUSE)
DONE, FAILED = registers.Done("charge.ok", registers.NULL), registers.Failed("refused", "no")


def step(name: str, *after: str, **more: Any) -> Step:
    emits = (Emit(event=f"{name}.ok"),)
    return Step(name=name, participant="payments", after=after, action=Action(path=f"/{name}"), emits=emits, **more)


def projected(*steps: Step) -> dict[str, LocalRules]:
    start = StartSpec(participant="orders", event="go")
    return project(Saga(namespace="shop", name="checkout", start=start, steps=steps))


def documents(*, pivot: bool = True) -> dict[str, LocalRules]:
    return projected(step("charge", "go", pivot=pivot, read_only=not pivot))


WITH, WITHOUT = documents(), documents(pivot=False)


def several() -> dict[str, LocalRules]:
    """Two steps that are undone last, and two sinks."""
    undo = Compensation(path="/undo")
    charge = step("charge", "reserve.ok", "book.ok", pivot=True)
    roots = step("reserve", "go", compensation=undo), step("book", "go", compensation=undo)
    return projected(*roots, charge, step("ship", "charge.ok"), step("thank", "charge.ok"))


class Stage:
    """A saga that is distributed, and instances of it, register by register."""

    def __init__(self, js: NatsJetStream, log: NatsLog, revision: str) -> None:
        self.js = js
        self.log = log
        self.revision = revision

    async def write(self, instance: str, name: Name, value: Value) -> bool:
        origin = Origin("run", 1, 1.0, self.revision, "pod", "attempt")
        headers, body = codec.encode(name, value, origin, "orders")
        return isinstance(await self.log.put(Instance(*KEY, instance).subject(name), headers, body), int)

    async def start(self, instance: str) -> bool:
        value = registers.Start(event="go", id=instance, source="test", digest="d")
        return await self.write(instance, START, value)

    async def charge(self, instance: str, value: Value) -> bool:
        """The pivot, to its end."""
        await self.write(instance, registers.begin("charge"), registers.Started("d"))
        return await self.write(instance, registers.end("charge"), value)

    async def retire(self, js: JetStream | None = None, *, starting: Collection[str] = ()) -> Retiring | None:
        return await retire(js or self.js, KEY, starting=starting, installation="default")

    async def is_there(self) -> bool:
        try:
            await self.js.api(f"STREAM.INFO.{LOG}")
        except JetStreamError:
            return False
        return True

    async def entries(self) -> dict[str, int]:
        wanted = {"subjects_filter": buckets.saga_subjects(*KEY)}
        info = await self.js.api(f"STREAM.INFO.{buckets.RULES_STREAM}", wanted)
        found: dict[str, int] = info["state"].get("subjects") or {}
        return {subject: number for subject, number in found.items() if not subject.endswith(".retired")}

    async def entries_of(self, revision: str) -> list[str]:
        """Keys of a revision's documents, but for the starting participant's."""
        return [subject for subject in await self.entries() if subject.endswith(revision) and ".orders." not in subject]


Scenario = Callable[[Stage], Coroutine[Any, Any, None]]


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(tmp_path_factory.mktemp("nats")) as server:
        yield server


@pytest.fixture
def server(shared_server: EmbeddedServer) -> EmbeddedServer:
    """Where nothing is killed: one for all, and nothing in it."""
    return emptied(shared_server)


def play(server: EmbeddedServer, scenario: Scenario, rules: dict[str, LocalRules] = WITH) -> None:
    async def run() -> None:
        async with asyncio.timeout(30), connect(server.url) as js, NatsLog(server.url, name="test") as log:
            await distribute(js, rules)
            await scenario(Stage(js, log, rules["orders"].revision))

    asyncio.run(run())


def test_without_instances_it_is_gone_at_once(server: EmbeddedServer) -> None:
    async def scenario(on: Stage) -> None:
        assert await on.retire() is None
        assert not await on.is_there()
        assert await on.entries() == {}
        assert await on.retire() is None, "and again is nothing to do"
        told = [buckets.retired_subject("shop", participant, "checkout") for participant in ("orders", "payments")]
        assert len(await on.js.last(buckets.RULES_STREAM, told)) == 2, "each participant hears of it"
        assert await left_over(on.js, "default") == set()

    play(server, scenario)


def test_on_a_server_that_holds_nothing_nothing_is_left_over(server: EmbeddedServer) -> None:
    async def run() -> None:
        async with connect(server.url) as js:
            assert await left_over(js, "default") == set()

    asyncio.run(run())


def test_what_runs_may_end_first_and_nobody_starts_it_any_more(server: EmbeddedServer) -> None:
    async def scenario(on: Stage) -> None:
        for name in ("a", "b", "c"):
            await on.start(name)
        await on.charge("c", DONE)
        assert await on.retire() == Retiring(2)
        active = buckets.active_subject(*KEY, "checkout").replace(".checkout.checkout.", ".orders.checkout.")
        [entry] = await on.js.last(buckets.RULES_STREAM, [active])
        assert entry.body == b"", "the starting participant is told"
        assert len(await on.entries()) == 3, "the rules stay"
        await on.charge("a", DONE)
        await on.charge("b", FAILED)
        assert await on.retire() == Retiring(1), "nobody was told"
        await on.write("b", ABORT, NOTICE)
        assert await on.retire() is None
        assert not await on.is_there()

    play(server, scenario)


def test_without_a_pivot_a_committed_outcome_is_the_end(server: EmbeddedServer) -> None:
    async def scenario(on: Stage) -> None:
        for name in ("a", "b"):
            await on.start(name)
        await on.write("a", OUTCOME, registers.Committed())
        await on.write("b", OUTCOME, ABORTED)
        assert await on.retire() == Retiring(1)
        await on.write("b", ABORT, NOTICE)
        assert await on.retire() is None

    play(server, scenario, WITHOUT)


def test_several_that_end_it_together_are_waited_for(server: EmbeddedServer) -> None:
    async def scenario(on: Stage) -> None:
        for name in ("a", "b", "c"):
            await on.start(name)
            await on.charge(name, FAILED if name == "b" else DONE)
        await on.write("b", ABORT, NOTICE)
        for name in ("a", "c"):
            await on.write(name, registers.end("ship"), DONE)
        for step in ("reserve", "book"):
            await on.write("b", registers.compensation(step), registers.Undone())
        assert await on.retire() == Retiring(3)
        await on.write("b", FINISH, registers.Compensated())
        await on.write("a", FINISH, registers.Completed())
        assert await on.retire() == Retiring(1)
        await on.write("c", FINISH, registers.Completed())
        assert await on.retire() is None

    play(server, scenario, several())


def test_an_instance_of_a_revision_that_nobody_knows_runs(server: EmbeddedServer) -> None:
    async def scenario(on: Stage) -> None:
        for name in ("a", "b"):
            await on.start(name)
        on.revision = "0123456789"
        await on.charge("a", DONE)
        await on.write("b", FINISH, registers.Completed())
        assert await on.retire() == Retiring(1)
        [subject] = await on.entries_of(WITH["payments"].revision)
        unreadable = subject.replace(WITH["payments"].revision, on.revision)
        await on.js.publish(unreadable, b'{"format": 1, "revision": "0123456789"}')
        assert await on.retire() == Retiring(1), "nor does a document of an older format tell"

    play(server, scenario)


def test_many_instances_are_all_counted(server: EmbeddedServer) -> None:
    async def scenario(on: Stage) -> None:
        names = [f"i-{n}" for n in range(700)]
        await asyncio.gather(*map(on.start, names))
        await asyncio.gather(*(on.write(name, OUTCOME, registers.Committed()) for name in names[1:]))
        assert await on.retire() == Retiring(1)
        await on.write(names[0], OUTCOME, registers.Committed())
        assert await on.retire() is None

    play(server, scenario, WITHOUT)


def test_while_a_sidecar_may_start_it_the_log_stays(server: EmbeddedServer) -> None:
    async def scenario(on: Stage) -> None:
        assert await on.retire(starting={"orders"}) == Retiring(0)
        assert await on.is_there()
        assert await on.retire() is None

    play(server, scenario)


class Between:
    """The port, with somebody who comes in just before or after a request of a kind."""

    def __init__(self, js: JetStream, verb: str, come_in: Callable[[], Coroutine[Any, Any, object]], when: str) -> None:
        self.js, self.verb, self.come_in, self.when = js, verb, come_in, when

    async def api(self, verb: str, body: JsonObject | None = None) -> JsonObject:
        ours = verb.startswith(self.verb)
        if ours and self.when == "before":
            await self.come_in()
        answer = await self.js.api(verb, body)
        if ours and self.when == "after":
            await self.come_in()
        return answer

    async def publish(self, subject: str, body: bytes) -> int:
        return await self.js.publish(subject, body)

    async def last(self, stream: str, subjects: Sequence[str]) -> tuple[codec.Message, ...]:
        return await self.js.last(stream, subjects)


def test_a_start_that_is_accepted_at_the_last_moment_is_not_lost(server: EmbeddedServer) -> None:
    async def scenario(on: Stage) -> None:
        assert await on.retire(Between(on.js, "STREAM.UPDATE", lambda: on.start("late"), "before")) == Retiring(1)
        assert await on.is_there()
        assert await on.charge("late", DONE), "and it can go on"
        assert await on.retire() is None

    play(server, scenario)


def test_a_start_after_that_moment_is_not_accepted(server: EmbeddedServer) -> None:
    async def scenario(on: Stage) -> None:
        answers: list[bool] = []

        async def late() -> None:
            answers.append(await on.start("late"))

        assert await on.retire(Between(on.js, "STREAM.UPDATE", late, "after")) is None
        assert answers == [False]

    play(server, scenario)


@pytest.mark.parametrize("verb", ["STREAM.UPDATE", "STREAM.DELETE", "STREAM.PURGE"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_crash_anywhere_is_made_good_by_the_next(server: EmbeddedServer, verb: str, when: str) -> None:
    async def crash() -> None:
        raise ZeroDivisionError

    async def scenario(on: Stage) -> None:
        with pytest.raises(ZeroDivisionError):
            await on.retire(Between(on.js, verb, crash, when))
        assert await left_over(on.js, "default") == {KEY}
        assert await on.retire() is None
        # F31: an operator that dies half way is made good by the next
        assert not await on.is_there()
        assert await on.entries() == {}

    play(server, scenario)


@pytest.mark.parametrize("verb", ["STREAM.UPDATE", "STREAM.DELETE", "STREAM.PURGE"])
def test_a_saga_that_is_created_again_stands_again_whenever_that_is(server: EmbeddedServer, verb: str) -> None:
    async def crash() -> None:
        raise ZeroDivisionError

    async def scenario(on: Stage) -> None:
        with pytest.raises(ZeroDivisionError):
            await on.retire(Between(on.js, verb, crash, "after"))
        await distribute(on.js, WITH)
        assert await on.start("again")
        assert await on.retire() == Retiring(1)

    play(server, scenario)


def test_what_belongs_to_somebody_else_is_left_alone(server: EmbeddedServer) -> None:
    async def scenario(on: Stage) -> None:
        assert await left_over(on.js, "theirs") == set()
        assert await retire(on.js, KEY, starting=(), installation="theirs") is None
        assert await on.is_there()
        assert len(await on.entries()) == 3

    play(server, scenario)
