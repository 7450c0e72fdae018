"""An example on this machine as it would run in a cluster: a real server, its services, sidecars as processes.

Everything can be killed, and everything can be looked at: the registers in the log, the databases of the services, the
sidecars' metrics. For sagas that are started by an order: examples 01 and 02.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from sagamesh.distribution import buckets, topology
from sagamesh.distribution.plan import needed_filters
from sagamesh.errors import UnavailableError
from sagamesh.language.model import Saga, Step
from sagamesh.log import codec, registers
from sagamesh.log.registers import START, Instance, Name, Register
from sagamesh.rules.projection import project
from sagamesh_cli.local.example_services import ExampleService, books, example
from sagamesh_cli.local.mesh import participants_of, provision, read_sagas
from sagamesh_cli.local.sidecars import ProcessMember, Urls
from sagamesh_jetstream.client.ports import JsonObject
from sagamesh_jetstream.client.session import connect
from sagamesh_sidecar.adapters.nats import NatsLog
from sagamesh_sidecar.settings import SidecarSettings
from support.builders import oracle
from support.fakes.scripted_app import Call, ScriptedApp, forward, scripted
from support.processes.web import Answer, ask
from support.servers.cluster import Cluster
from support.servers.nats_server import NatsServer
from support.servers.proxy import Wire

SCRIPT = Path(__file__).with_name("crashing_sidecar.py")
ORDERS = {"01-customers-and-orders": {"customerId": "alice", "total": 10}} | {
    "02-create-order": {
        "consumerId": "alice",
        "restaurantId": "ajanta",
        "dishes": ["dal"],
        "total": 10,
        "card": "4111111111111111",
    },
    "03-trip-booking": {"flight": "SM-101", "hotel": "ritz", "car": "mini", "card": "4111111111111111"},
}
DECLINED = {"card": "4000000000000002"}
BATCH = 100
"""Events of one request: the most that the API takes."""
READ = 500
"""Registers of one read, far below the 1024 that a server shows at most."""
Found = dict[Name, Register]
Meddler = Callable[[Call, Callable[[], Awaitable[bytes]]], Awaitable[bytes]]
"""Stands between a sidecar and its service: gives the answer to a call, which may be what the service says to it."""


def run(scenario: Coroutine[Any, Any, None], seconds: float = 60.0) -> None:
    """A test that is a coroutine, in bounded time."""

    async def bounded() -> None:
        async with asyncio.timeout(seconds):
            await scenario

    asyncio.run(bounded())


async def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


def impatient(saga: Saga, *, timeout: float, within: float, park_after: float, max_backoff: float = 10.0) -> Saga:
    """The saga with other times for all of its steps."""

    def hurried(step: Step) -> Step:
        undone = step.compensation and replace(step.compensation, timeout=timeout)
        retry = replace(step.action.retry, max_backoff=max_backoff)
        return replace(
            step, action=replace(step.action, timeout=timeout, within=within, retry=retry), compensation=undone
        )

    return replace(saga, steps=tuple(map(hurried, saga.steps)), park_after=park_after)


@dataclass(kw_only=True)
class Stage:
    """What runs. `sidecars` and `urls`: those of each participant, one for each replica. `between`: who meddles."""

    name: str
    saga: Saga
    directory: Path
    server: NatsServer | Cluster
    services: Mapping[str, ExampleService]
    log: NatsLog
    sidecars: dict[str, list[ProcessMember]] = field(default_factory=dict)
    urls: dict[str, list[Urls]] = field(default_factory=dict)
    between: dict[str, ScriptedApp] = field(default_factory=dict)
    recruit: Callable[[str, int], ProcessMember] = field(init=False)

    # -- instances

    @property
    def stream(self) -> str:
        [stream] = registers.streams(self.saga.namespace, self.saga.name)
        return stream

    def instance(self, key: str) -> Instance:
        return Instance(self.saga.namespace, self.saga.name, key)

    def event(self, key: str, order: Mapping[str, Any]) -> JsonObject:
        """The order, as the event that starts its saga."""
        data = ORDERS[self.name] | {"orderId": key} | order
        return {"specversion": "1.0", "id": key, "source": "/test", "type": self.saga.start.event, "data": data}

    async def post(self, key: str, replica: int = 0, query: str = "", **order: Any) -> Answer:
        """Send an order once. Raises OSError where no answer came."""
        url = f"{self.urls[self.saga.start.participant][replica].api}/v1/events{query}"
        return await ask("POST", url, self.event(key, order), "application/cloudevents+json")

    async def start_many(self, keys: Sequence[str], **order: Any) -> None:
        """Send an order for each of these, in batches."""
        url = f"{self.urls[self.saga.start.participant][0].api}/v1/events"
        for at in range(0, len(keys), BATCH):
            events = [self.event(key, order) for key in keys[at : at + BATCH]]
            answer = await ask("POST", url, events, "application/cloudevents-batch+json")
            assert answer.status in (200, 202), answer

    async def start(self, key: str, told: list[int] | None = None, **order: Any) -> list[int]:
        """Send an order until it is taken, as its sender would: the statuses that came, 0 for no answer.

        They come to `told`, too, as they come.
        """
        statuses: list[int] = []
        while not statuses or statuses[-1] in (0, 503):
            if statuses:
                await asyncio.sleep(0.05)
            try:
                statuses.append((await self.post(key, **order)).status)
            except OSError:
                statuses.append(0)
            if told is not None:
                told.append(statuses[-1])
        assert statuses[-1] in (200, 202), f"{key} was answered {statuses}"
        return statuses

    async def finished(self, *keys: str, seconds: float = 30.0) -> dict[str, str]:
        """How each of these ended, once all have."""
        states: dict[str, str] = {}
        lasts = oracle.endings(self.saga)
        try:
            async with asyncio.timeout(seconds):
                while missing := [key for key in keys if key not in states][:READ]:
                    with contextlib.suppress(UnavailableError):
                        subjects = [self.instance(key).subject(name) for key in missing for name in lasts]
                        for message in await self.log.read(self.stream, subjects):
                            one, register = registers.parse(message.subject)[0], codec.decode(message)
                            if oracle.ending(self.saga, {register.name: register}) is not None:
                                states[one.id] = lasts[register.name]
                    await asyncio.sleep(0.02)
        except TimeoutError:
            left = sorted(set(keys) - states.keys())
            told = {key: [".".join(name) for name in await self.registers(key)] for key in left[:3]}
            raise AssertionError(f"not finished within {seconds:g} s: {left}; of those: {told}") from None
        return states

    async def registers(self, key: str) -> Found:
        """Every register of an instance but its markers."""
        found = await self.log.read(self.stream, [self.instance(key).wildcard])
        decoded = (codec.decode(message) for message in found)
        return {register.name: register for register in decoded if not register.name.register.startswith("absent")}

    async def took(self, key: str) -> float:
        """Seconds from the start of a finished instance to its last register."""
        found = await self.registers(key)
        return (await self.ended_at(key)) - found[START].time

    async def ended_at(self, key: str) -> float:
        """When a finished instance ended."""
        last = oracle.ending(self.saga, await self.registers(key))
        assert last is not None, f"{key} has not ended"
        return last.time

    async def everything(self) -> list[tuple[int, str, bytes]]:
        """What is in the stream: sequence, subject and body of each message, markers aside."""
        [subjects] = registers.subjects(self.saga.namespace, self.saga.name)
        found = await self.log.read_after(self.stream, subjects, 0)
        return [(m.sequence, m.subject, m.body) for m in found if ".absent." not in m.subject]

    async def check(self, *keys: str) -> None:
        """The registers of these finished instances are consistent, and the books of the services balance."""
        found = await asyncio.gather(*(self.registers(key) for key in keys))
        wrong = {key: oracle.wrongs(self.saga, one) for key, one in zip(keys, found, strict=True)}
        wrong = {key: sentences for key, sentences in wrong.items() if sentences}
        assert not wrong, wrong
        assert self.balance() == []

    # -- the services

    def balance(self) -> list[str]:
        return books(example(self.name))(self.directory)

    def rows(self, service: str, query: str, *values: object) -> list[tuple[Any, ...]]:
        """From the database of a service, which is only read."""
        db = sqlite3.connect(f"{(self.directory / f'{service}.db').as_uri()}?mode=ro", uri=True)
        try:
            return db.execute(query, values).fetchall()
        finally:
            db.close()

    def ledger(self, key: str) -> tuple[Any, ...]:
        """Of one order of example 02: its state, those of its tickets, and how often its card was charged."""
        [(order,)] = self.rows("orders", "SELECT state FROM orders WHERE id = ?", key)
        tickets = self.rows("kitchen", "SELECT state FROM tickets WHERE order_id = ?", key)
        charged = self.rows("accounting", "SELECT amount FROM authorizations WHERE order_id = ?", key)
        return order, [state for (state,) in tickets], len(charged)

    def tables(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every row of every table of every service."""
        found = {}
        for service in self.services:
            for (table,) in self.rows(service, "SELECT name FROM sqlite_master WHERE type = 'table'"):
                found[f"{service}.{table}"] = self.rows(service, f"SELECT * FROM {table}")
        return found

    # -- the sidecars

    async def metric(self, name: str, participant: str, replica: int = 0, **labels: str) -> float:
        """The sum of a sidecar's series of that name that bear these labels."""
        text = (await ask("GET", f"{self.urls[participant][replica].health}/metrics")).text
        wanted = {f'{label}="{value}"' for label, value in labels.items()}
        total = 0.0
        for series, value in re.findall(rf"^sagamesh_{name}(?:{{(.*)}})? (\S+)$", text, re.MULTILINE):
            total += float(value) if wanted <= set(series.split(",")) else 0.0
        return total

    def members(self) -> list[ProcessMember]:
        return [member for replicas in self.sidecars.values() for member in replicas]

    async def scale(self, participant: str, replicas: int) -> None:
        """Let a participant have so many replicas more."""
        members = self.sidecars.setdefault(participant, [])
        new = [self.recruit(participant, len(members) + n) for n in range(1, replicas + 1)]
        members += new
        self.urls.setdefault(participant, []).extend(await asyncio.gather(*(member.start() for member in new)))

    async def dismiss(self) -> None:
        """Stop all sidecars, one after the other, as those of a cluster that is taken down."""
        for member in reversed(self.members()):
            await member.stop()

    # -- the server

    async def api(self, verb: str, body: JsonObject | None = None) -> JsonObject:
        async with connect(self.server.url) as stream:
            return await stream.api(verb, body)

    async def consumers(self) -> list[str]:
        return list((await self.api(f"CONSUMER.NAMES.{self.stream}"))["consumers"])

    async def idle(self, seconds: float = 30.0) -> None:
        """Wait until everything was delivered and acked."""
        async with asyncio.timeout(seconds):
            for name in await self.consumers():
                while True:
                    info = await self.api(f"CONSUMER.INFO.{self.stream}.{name}")
                    if not info["num_pending"] and not info["num_ack_pending"]:
                        break
                    await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def stage(
    name: str,
    directory: Path,
    *,
    ack_wait: float | None = 0.5,
    replicas: int = 1,
    services: Mapping[str, Sequence[str]] | None = None,
    between: Mapping[str, Meddler] | None = None,
    change: Callable[[Saga], Saga] = lambda saga: saga,
    server: type[NatsServer | Cluster] = NatsServer,
    wires: Mapping[str, Wire] | None = None,
    haste: float = 1.0,
    distributed: Callable[[str, Saga], Awaitable[object]] = lambda url, saga: provision(url, [saga]),
    **settings: Any,
) -> AsyncIterator[Stage]:
    """Everything that an example needs, running.

    `ack_wait`: seconds until what a dead sidecar held is handed out again, to sidecars of `crashing_sidecar`; None: ten
    seconds, and the product's own entry point. `services`: more options of a service; `between`: who stands between a
    participant's sidecars and its service; `change`: of the example's saga; `settings`: of all sidecars.
    `server`: the kind of it. `wires`: between participants and the server. `haste`: how much sooner than the product
    those of `crashing_sidecar` take the server for dead. `distributed`: brings the saga to that server.
    """
    saga = change(read_sagas([str(example(name) / "saga.yaml")])[0])
    participants = participants_of([saga])
    async with contextlib.AsyncExitStack() as stack:
        nats = server(directory / "nats")
        stack.enter_context(nats)
        await nats.ready()
        await distributed(nats.url, saga)
        apps = {one: ExampleService(example(name), one, directory) for one in participants}
        log = await stack.enter_async_context(NatsLog(nats.url, name="test"))
        built = Stage(name=name, saga=saga, directory=directory, server=nats, services=apps, log=log)
        if isinstance(nats, Cluster):
            await nats.replicate(buckets.RULES_STREAM, built.stream)
        if ack_wait is not None:
            await hasten(built, ack_wait)
        for app in apps.values():
            stack.push_async_callback(app.stop)
        await asyncio.gather(*(app.start(*(services or {}).get(one, ())) for one, app in apps.items()))
        for one, meddler in (between or {}).items():
            built.between[one] = await stack.enter_async_context(scripted(partial(_meddle, meddler, apps[one])))
        urls = dict.fromkeys(participants, nats.participants_url)
        for one, wire in (wires or {}).items():
            await stack.enter_async_context(wire.opened(nats.port))
            urls[one] = wire.url
        pace = None if ack_wait is None else (ack_wait, haste)
        built.recruit = lambda one, number: _sidecar(built, one, number, pace, {"nats": urls[one]} | settings)
        stack.push_async_callback(built.dismiss)
        await asyncio.gather(*(built.scale(one, replicas) for one in participants))
        yield built


async def _meddle(meddler: Meddler, service: ExampleService, call: Call) -> bytes:
    return await meddler(call, lambda: forward(service.url, call))


async def hasten(built: Stage, ack_wait: float) -> None:
    """Let the server hand out again what was not settled for so long, whatever the sidecars believe."""
    for name in needed_filters(project(built.saga)):
        path = f"{built.stream}.{name}"
        config = (await built.api(f"CONSUMER.INFO.{path}"))["config"] | {"ack_wait": int(ack_wait * topology.SECOND)}
        await built.api(f"CONSUMER.CREATE.{path}", {"stream_name": built.stream, "config": config, "action": "update"})


def _sidecar(
    built: Stage, participant: str, number: int, pace: tuple[float, float] | None, more: dict[str, Any]
) -> ProcessMember:
    directory = built.directory / f"replica-{number}"
    directory.mkdir(exist_ok=True)
    settings = SidecarSettings(
        **{
            "namespace": built.saga.namespace,
            "participant": participant,
            "app": (built.between.get(participant) or built.services[participant]).url,
            "pod": f"{participant}-{number}",
            "api_port": 0,
            "health_host": "127.0.0.1",
            "health_port": 0,
            "poll": 1.0,
        }
        | more
    )
    command = (sys.executable, str(SCRIPT), str(directory), *map(str, pace)) if pace else ()
    return ProcessMember(settings, directory, *command)


class Fates:
    """What a test tells the crashing sidecars of one replica number, and hears of them."""

    def __init__(self, built: Stage, replica: int = 1) -> None:
        self.directory = built.directory / f"replica-{replica}"

    def plan(self, key: str, participant: str, when: str, operation: str) -> None:
        """To be called before the instance is started."""
        (self.directory / "plans" / key).write_text(f"{participant} {when} {operation}")

    def fulfilled(self, key: str) -> bool:
        return (self.directory / "plans" / f"{key}.done").exists()

    def operations(self, participant: str) -> list[tuple[str, str]]:
        """(instance, operation) of everything that a participant has done or tried."""
        lines = (self.directory / f"{participant}.operations").read_text().splitlines()
        return [(instance, operation) for instance, _, operation in (line.partition(" ") for line in lines)]

    def deaths(self, participant: str) -> list[int]:
        """The exit status of each life that has ended."""
        try:
            return [int(line) for line in (self.directory / f"{participant}.deaths").read_text().split()]
        except FileNotFoundError:
            return []


def seconds_since(begun: float) -> str:
    return f"{time.monotonic() - begun:.1f} s"
