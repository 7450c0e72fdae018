"""Distribution on a real server: what `plan` takes for granted about it, and what becomes of crashes and races."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client

import nats
from sagamesh.distribution.plan import BucketPut, ForeignStreamError, plan
from sagamesh.errors import UnavailableError
from sagamesh.language.model import Action, Compensation, Emit, Saga, StartSpec, Step
from sagamesh.log import codec
from sagamesh.rules.codec import decode_rules
from sagamesh.rules.local import LocalRules
from sagamesh.rules.projection import project
from sagamesh_cli.local.nats_server import EmbeddedServer
from sagamesh_jetstream.client.ports import JetStream, JetStreamError, JsonObject
from sagamesh_jetstream.client.session import NatsJetStream, connect
from sagamesh_jetstream.upkeep.distribute import distribute, observe
from support.servers.cluster import Cluster
from support.servers.nats_server import emptied

LOG = "SAGA_shop_checkout"
ACTIVE = "$KV.sagamesh-rules.shop.orders.checkout.active"
Test = Callable[[NatsJetStream, Client], Coroutine[Any, Any, None]]


def step(name: str, participant: str, *on: str) -> Step:
    emits = (Emit(event=f"{name}.done"),)
    undo = Compensation(path=f"/{name}/undo")
    return Step(
        name=name, participant=participant, after=on, action=Action(path=f"/{name}"), emits=emits, compensation=undo
    )


def documents(*steps: Step) -> dict[str, LocalRules]:
    return project(
        Saga(namespace="shop", name="checkout", start=StartSpec(participant="orders", event="go"), steps=steps)
    )


CREDIT, STOCK = step("credit", "customers", "go"), step("stock", "inventory", "go")
ONE = documents(CREDIT, step("charge", "payments", "credit.done"))
TWO = documents(STOCK, step("charge", "payments", "stock.done"))
ONE_IS, TWO_IS = ONE["orders"].revision, TWO["orders"].revision


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(tmp_path_factory.mktemp("nats")) as server:
        yield server


@pytest.fixture
def server(shared_server: EmbeddedServer) -> EmbeddedServer:
    """Where nothing is killed: one for all, and nothing in it."""
    return emptied(shared_server)


def play(server: EmbeddedServer, test: Test) -> None:
    """Run a test with the port and, beside it, a plain client."""

    async def run() -> None:
        async with asyncio.timeout(30), connect(server.url) as js, plain(server.url) as client:
            await test(js, client)

    asyncio.run(run())


@asynccontextmanager
async def plain(url: str) -> AsyncIterator[Client]:
    client = await nats.connect(url)
    try:
        yield client
    finally:
        await client.close()


async def filters(js: JetStream, participant: str) -> set[str]:
    info = await js.api(f"CONSUMER.INFO.{LOG}.{participant}")
    return {subject.removeprefix("saga.shop.checkout.*.") for subject in info["config"]["filter_subjects"]}


async def active(client: Client) -> bytes | None:
    return (await client.jetstream().get_last_msg("KV_sagamesh-rules", ACTIVE)).data


def test_once_distributed_there_is_nothing_left_to_do(server: EmbeddedServer) -> None:
    async def test(js: NatsJetStream, client: Client) -> None:
        first = await distribute(js, ONE)
        assert first.revision == ONE_IS
        assert len(first.actions) == 9
        stored = (await js.api(f"STREAM.INFO.{LOG}"))["config"]["metadata"]
        assert any(key.startswith("_nats.") for key in stored), "the server adds to it, and that is no difference"
        assert (await distribute(js, ONE)).actions == ()
        assert await active(client) == ONE_IS.encode()

    play(server, test)


def test_a_register_is_written_once(server: EmbeddedServer) -> None:
    async def test(js: NatsJetStream, client: Client) -> None:
        await distribute(js, ONE)
        assert await js.publish("saga.shop.checkout.4711._.start", b"first") == 1
        with pytest.raises(JetStreamError, match="maximum messages per subject exceeded") as refused:
            await js.publish("saga.shop.checkout.4711._.start", b"second")
        assert refused.value.err_code == 10077

    play(server, test)


def test_rules_are_pushed_as_they_are_written(server: EmbeddedServer) -> None:
    async def test(js: NatsJetStream, client: Client) -> None:
        pushed = await client.subscribe("sagamesh.rules.shop.customers.>")
        await client.flush()
        await distribute(js, ONE)
        message = await pushed.next_msg(10)
        assert message.subject == f"sagamesh.rules.shop.customers.checkout.{ONE_IS}"
        assert decode_rules(message.data) == ONE["customers"]

    play(server, test)


def test_a_new_revision_leaves_deliveries_alone(server: EmbeddedServer) -> None:
    async def test(js: NatsJetStream, client: Client) -> None:
        await distribute(js, ONE)
        pull = await client.jetstream().pull_subscribe_bind(stream=LOG, durable="payments")
        await js.publish("saga.shop.checkout.1.credit.end", b"{}")
        [held] = await pull.fetch(1, timeout=10)
        await distribute(js, TWO)
        assert await filters(js, "payments") == {"credit.end", "stock.end", "_.abort"}
        # F33: deliveries are left alone
        assert (await js.api(f"CONSUMER.INFO.{LOG}.payments"))["num_ack_pending"] == 1
        await held.ack_sync(timeout=10)
        await js.publish("saga.shop.checkout.2.stock.end", b"{}")
        await js.publish("saga.shop.checkout.3.credit.end", b"{}")
        heard = [(await pull.fetch(1, timeout=10))[0].subject for _ in range(2)]
        assert heard == ["saga.shop.checkout.2.stock.end", "saga.shop.checkout.3.credit.end"]

    play(server, test)


def test_a_foreign_installation_is_refused_and_nothing_is_touched(server: EmbeddedServer) -> None:
    async def test(js: NatsJetStream, client: Client) -> None:
        await distribute(js, ONE, installation="theirs")
        before = await observe(js, TWO)
        with pytest.raises(ForeignStreamError, match="belongs to the installation 'theirs'"):
            await distribute(js, TWO, installation="ours")
        assert await observe(js, TWO) == before

    play(server, test)


def test_a_stream_that_has_our_subjects_already_is_told(server: EmbeddedServer) -> None:
    async def test(js: NatsJetStream, client: Client) -> None:
        await client.jetstream().add_stream(name="everything", subjects=["saga.>"])
        with pytest.raises(
            JetStreamError, match=f"refused STREAM.CREATE.{LOG}: subjects overlap with an existing stream"
        ):
            await distribute(js, ONE)

    play(server, test)


class Interfered:
    """The port, and somebody who does something before the n-th write."""

    def __init__(self, js: JetStream, write: int, interfere: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._js, self._left, self._interfere = js, write, interfere

    async def api(self, verb: str, body: JsonObject | None = None) -> JsonObject:
        if ".INFO." not in verb and ".GET." not in verb:
            await self._count()
        return await self._js.api(verb, body)

    async def publish(self, subject: str, body: bytes) -> int:
        await self._count()
        return await self._js.publish(subject, body)

    async def last(self, stream: str, subjects: Sequence[str]) -> tuple[codec.Message, ...]:
        return await self._js.last(stream, subjects)

    async def _count(self) -> None:
        self._left -= 1
        if self._left == 0:
            await self._interfere()


@pytest.mark.parametrize("write", range(1, 10))
def test_a_crash_anywhere_is_made_good_by_the_next(server: EmbeddedServer, write: int) -> None:
    async def crash() -> None:
        raise UnavailableError("crashed")

    async def test(js: NatsJetStream, client: Client) -> None:
        with pytest.raises(UnavailableError, match="crashed"):
            await distribute(Interfered(js, write, crash), ONE)
        assert len((await distribute(js, ONE)).actions) == 10 - write
        # F31: an operator that dies half way is made good by the next
        assert await settled(js, ONE)

    play(server, test)


@pytest.mark.parametrize("theirs", [ONE, TWO], ids=["the-same", "another-revision"])
@pytest.mark.parametrize("write", range(1, 10))
def test_whoever_comes_in_between_does_no_harm(
    server: EmbeddedServer, write: int, theirs: Mapping[str, LocalRules]
) -> None:
    async def test(js: NatsJetStream, client: Client) -> None:
        async def come_in_between() -> None:
            await distribute(js, theirs)

        await distribute(Interfered(js, write, come_in_between), ONE)
        assert await active(client) == ONE_IS.encode(), "ours was written last"
        assert await heard(js, ONE)
        assert await settled(js, ONE)

    play(server, test)


def test_a_filter_that_another_overwrites_as_we_finish_is_put_back(server: EmbeddedServer) -> None:
    async def test(js: NatsJetStream, client: Client) -> None:
        async def overwrite() -> None:
            [late] = [a for a in plan(TWO, before) if a[0] == f"CONSUMER.CREATE.{LOG}.payments"]
            assert not isinstance(late, BucketPut)
            await js.api(late.verb, late.body | {"action": "update"})

        before = await observe(js, TWO)  # they looked before we began, and act as we move `active`
        await distribute(Interfered(js, 9, overwrite), ONE)
        assert await filters(js, "payments") == {"credit.end", "stock.end", "_.abort"}

    play(server, test)


def test_a_crowd_at_once(server: EmbeddedServer) -> None:
    revisions = [documents(CREDIT, step(f"charge{n}", "payments", "credit.done")) for n in range(5)]

    async def test(js: NatsJetStream, client: Client) -> None:
        done = await asyncio.gather(*(distribute(js, revision) for revision in revisions * 2))
        assert await active(client) in {one.revision.encode() for one in done}
        assert await heard(js, revisions[0])
        needed = {f"charge{n}.compensation" for n in range(5)} | {"_.start", "_.abort"}
        assert await filters(js, "customers") == needed

    play(server, test)


async def settled(js: JetStream, documents: Mapping[str, LocalRules]) -> bool:
    return plan(documents, await observe(js, documents)) == ()


async def heard(js: JetStream, documents: Mapping[str, LocalRules]) -> bool:
    """Whether everything but `active` stands."""
    return all(action[0] == ACTIVE for action in plan(documents, await observe(js, documents)))


def test_a_server_that_is_not_there_is_told(tmp_path: Path) -> None:
    async def test() -> None:
        with pytest.raises(UnavailableError, match=f"{server.url} cannot be reached: .*Connect call failed"):
            async with connect(server.url, timeout=0.3):
                """Never reached."""

    with EmbeddedServer(tmp_path) as server:
        """Its port is nobody's any more."""
    asyncio.run(asyncio.wait_for(test(), 10))


def test_a_server_that_goes_away_is_told(tmp_path: Path) -> None:
    async def test() -> None:
        async with connect(server.url, timeout=1) as js:
            await js.api("INFO")
            server.stop()
            with pytest.raises(UnavailableError, match=r"cannot be reached|was lost|did not answer STREAM\.INFO\.x"):
                await js.api("STREAM.INFO.x")

    with EmbeddedServer(tmp_path) as server:
        asyncio.run(asyncio.wait_for(test(), 10))


def test_a_message_that_no_stream_takes_is_told(server: EmbeddedServer) -> None:
    async def test(js: NatsJetStream, client: Client) -> None:
        with pytest.raises(UnavailableError, match="nobody at NATS takes the message unheard"):
            await js.publish("unheard", b"")

    play(server, test)


def test_silence_is_told(server: EmbeddedServer) -> None:
    async def test(js: NatsJetStream, client: Client) -> None:
        await client.subscribe("silent")
        await client.flush()
        with pytest.raises(UnavailableError, match=r"^NATS did not answer the message silent within 1 s$"):
            async with connect(server.url, timeout=1) as impatient:
                await impatient.publish("silent", b"")

    play(server, test)


def test_a_document_that_is_too_large_is_told(server: EmbeddedServer) -> None:
    async def test(js: NatsJetStream, client: Client) -> None:
        with pytest.raises(JetStreamError, match="larger than the server takes"):
            await js.publish("unheard", bytes(2 * 1024 * 1024))

    play(server, test)


def test_what_is_created_is_on_three_servers_where_there_are_three(tmp_path: Path) -> None:
    async def test() -> None:
        with Cluster(tmp_path) as cluster:
            await cluster.ready()
            async with connect(cluster.url) as js:
                assert (await distribute(js, ONE, replicas=3)).replicas == 3
                for name in ("KV_sagamesh-rules", "KV_sagamesh-sidecars", LOG):
                    assert (await js.api(f"STREAM.INFO.{name}"))["config"]["num_replicas"] == 3
                assert (await distribute(js, ONE, replicas=3)).actions == ()

    asyncio.run(asyncio.wait_for(test(), 60))


def test_and_on_one_where_there_are_fewer(server: EmbeddedServer) -> None:
    async def test(js: NatsJetStream, client: Client) -> None:
        first = await distribute(js, ONE, replicas=3)
        assert first.replicas == 1
        again = await distribute(js, TWO, replicas=3)
        assert again.replicas == 1
        assert not [each for each in again.actions if each[0].startswith("STREAM")], "what is there is enough"

    play(server, test)
