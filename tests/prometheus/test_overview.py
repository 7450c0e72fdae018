"""A real Prometheus scrapes an example that runs: whatever the dashboard asks for is there, and alerts see trouble."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import yaml
from msgspec.structs import replace

from sagamesh.distribution import buckets, heartbeat
from sagamesh.distribution.heartbeat import Heartbeat
from sagamesh.language.model import Saga
from sagamesh.log.registers import START
from sagamesh_cli.local.example_services import example
from sagamesh_jetstream.client.session import Session
from sagamesh_operator import probes
from sagamesh_operator.injection.metrics import InjectorMetrics
from sagamesh_operator.metrics import OperatorMetrics
from sagamesh_operator.sagas.reconciler import Reconciler
from support.fakes.memory_cluster import MemoryCluster
from support.fakes.scripted_app import Call, http
from support.processes.stage import DECLINED, Stage, run, stage
from support.processes.web import ask
from support.servers.nats_server import GovernedServer
from support.servers.prometheus import Prometheus, Target, promtool, scraping

FILES = Path(__file__).parents[2] / "charts" / "sagamesh" / "files"
DASHBOARD = json.loads((FILES / "dashboards" / "overview.json").read_text())
ALERTS = FILES / "alerts.yaml"
MEALS = "02-create-order"
SPEC = yaml.safe_load((example(MEALS) / "saga.yaml").read_text())["spec"] | {"parkAfter": "1s"}
CHOSEN = {"$__rate_interval": "5s", "$namespace": "shop", "$saga": ".*"}
"""What Grafana puts in the place of variables."""

TROUBLES = ("SagameshSagasParked", "SagameshRulesNotSynced", "SagameshUnreadableRegisters")
APP = {"Apps away", "Apps away again"}
REFUSALS = {"Refused by NATS", "NATS: refused", "NATS: consumers down"}
AWAY = {"NATS away", "NATS: away"}
"""What is seen only later, by the names of `queries`."""


@dataclass
class Operator:
    """The operator's own loop over a cluster in memory."""

    session: Session
    url: str


@contextlib.asynccontextmanager
async def operating(nats: str, cluster: MemoryCluster) -> AsyncIterator[Operator]:
    session = Session(nats)
    metrics = OperatorMetrics(connected=lambda: not session.problem)
    reconciler = Reconciler(session, cluster, metrics, installation="test")
    session.opened, session.lost = reconciler.connected, reconciler.disconnected
    session.listen(buckets.heartbeat_subjects(), reconciler.heard)
    cluster.watched = reconciler.told
    async with probes.serving("127.0.0.1", 0, metrics=metrics.exposition, alive=str, ready=str) as url:
        tasks = [asyncio.create_task(session.run()), asyncio.create_task(reconciler.run())]
        try:
            yield Operator(session, url)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


@contextlib.asynccontextmanager
async def injecting() -> AsyncIterator[Target]:
    """What an injector tells of itself while it is asked about pods, without an end."""
    metrics = InjectorMetrics(expiry=lambda: time.time() + 3600)

    def asked() -> tuple[bytes, str]:
        metrics.answered("injected")
        return metrics.exposition()

    async with probes.serving("127.0.0.1", 0, metrics=asked, alive=str, ready=str) as url:
        yield Target(url, "sagamesh-system", "sagamesh-injector-0")


def queries() -> dict[str, tuple[str, str]]:
    """Expression and legend of each, by the title of its panel; where that has several, also by legend."""
    found = {}
    for panel in DASHBOARD["panels"]:
        targets = panel.get("targets", ())
        for target in targets:
            name = f"{panel['title']}: {target['legendFormat']}" if len(targets) > 1 else panel["title"]
            while name in found:  # among the alarms, and once more below
                name += " again"
            found[name] = target["expr"], target["legendFormat"]
    return found


def filled(expression: str) -> str:
    for variable, value in CHOSEN.items():
        expression = expression.replace(variable, value)
    return expression


@dataclass
class Screen:
    """What has been seen so far: a query counts once it gave a value above zero, an alert once it would fire."""

    prometheus: Prometheus
    unseen: dict[str, tuple[str, str]] = field(default_factory=queries)
    alerts: set[str] = field(default_factory=set)

    async def look(self) -> None:
        self.alerts |= await self.prometheus.alerts()
        for name, (expression, legend) in tuple(self.unseen.items()):
            if found := await self.prometheus.values(f"({filled(expression)}) > 0"):
                del self.unseen[name]
                assert set(re.findall(r"{{(\w+)}}", legend)) <= found[0][0].keys(), f"{name}: {found[0]}"

    async def shows(self, *alerts: str, all_but: Iterable[str] = ()) -> None:
        """Wait until these alerts were seen, and all queries but those."""
        try:
            async with asyncio.timeout(45):
                while not (self.alerts >= set(alerts) and self.unseen.keys() <= set(all_but)):
                    await self.look()
        except TimeoutError:
            raise AssertionError(f"seen: {self.alerts}; unseen: {self.unseen}") from None


CONFIRMED = asyncio.Event()
"""When the kitchen has worked long enough at the order that is slow."""


async def confirmations_fail(call: Call, service: Callable[[], Awaitable[bytes]]) -> bytes:
    """A kitchen that cannot confirm one order, which is past the pivot: it parks. Another takes as long as we look."""
    if call.path == "/tickets/confirm" and call.instance == "parked":
        return http(500)
    if call.path == "/tickets/confirm" and call.instance == "slow":
        await CONFIRMED.wait()
    return await service()


async def order(on: Stage) -> None:
    """Orders without an end, each second of them with a card that is declined."""
    for number in count():
        with contextlib.suppress(OSError):
            await on.post(f"o-{number}", **(DECLINED if number % 2 else {}))
        await asyncio.sleep(0.1)


@contextlib.asynccontextmanager
async def meals(directory: Path) -> AsyncIterator[tuple[Stage, Operator]]:
    """Example 02 in the namespace `shop`, distributed by the operator, and given orders."""
    cluster = MemoryCluster()

    def moved(saga: Saga) -> Saga:
        return replace(saga, namespace="shop", park_after=1.0)

    async with contextlib.AsyncExitStack() as stack:
        operators: list[Operator] = []

        async def distributed(url: str, saga: Saga) -> None:
            operators.append(await stack.enter_async_context(operating(url, cluster)))
            cluster.apply(saga.name, **SPEC)
            async with asyncio.timeout(20):
                while cluster.condition(saga.name, "Distributed")[0] != "True":
                    await asyncio.sleep(0.02)

        playing = stage(
            MEALS,
            directory,
            ack_wait=None,
            server=GovernedServer,
            change=moved,
            between={"kitchen": confirmations_fail},
            distributed=distributed,
        )
        on = await stack.enter_async_context(playing)
        customers = asyncio.create_task(order(on))
        stack.callback(customers.cancel)
        yield on, operators[0]


def targets(on: Stage, operator: Operator) -> dict[str, Target]:
    sidecars = {name: Target(urls.health, "shop", f"{name}-1") for name, [urls] in on.urls.items()}
    return sidecars | {"operator": Target(operator.url, "sagamesh-system", "sagamesh-operator-0", honest=True)}


async def trouble(on: Stage, operator: Operator) -> None:
    """A saga that parks, a register that nobody can read, and a sidecar that lacks the rules."""
    await on.start("parked")
    await on.log.put(on.instance("forged").subject(START), {}, b"rubbish")
    body = heartbeat.encode(Heartbeat(namespace="shop", participant="kitchen", pod="old"))
    await operator.session.publish(buckets.heartbeat_subject("shop", "kitchen", "old"), body)


def governed(on: Stage) -> GovernedServer:
    assert isinstance(on.server, GovernedServer)
    return on.server


async def refuse(on: Stage) -> None:
    """Sidecars may not ack any more, and one has nothing left to ask."""
    governed(on).denied = ("$JS.ACK.>",)
    await governed(on).reload()
    await on.api(f"CONSUMER.DELETE.{on.stream}.kitchen")


def test_every_panel_shows_something_and_every_alert_sees_its_trouble(programs: Path, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with meals(tmp_path) as (on, operator), injecting() as injector:
            scraped = targets(on, operator) | {"injector": injector}
            async with scraping(programs, tmp_path, scraped, ALERTS) as prometheus:
                screen = Screen(prometheus)
                async with asyncio.timeout(20):  # what is counted before the first scrape is no increase
                    while len(await prometheus.values("up == 1")) < len(scraped):
                        await asyncio.sleep(0.05)
                await trouble(on, operator)
                await screen.shows(*TROUBLES, all_but=APP | REFUSALS | AWAY)
                assert screen.alerts == set(TROUBLES), "no other alert has anything to say"
                await the_alert_and_the_apis_agree(on, prometheus)
                for target in scraped.values():
                    exposed = (await ask("GET", f"{target.url}/metrics")).text
                    assert promtool(programs, "check", "metrics", stdin=exposed) == ""
                await the_variables_have_values(prometheus)

                await on.services["accounting"].stop()
                await screen.shows("SagameshAppAway", all_but=REFUSALS | AWAY)
                await refuse(on)
                await screen.shows("SagameshNatsAway", all_but=AWAY)
                governed(on).kill()
                await screen.shows()
                governed(on).denied = ()
                governed(on).restart()  # so that everybody can take his leave

    run(scenario(), 180)


async def the_variables_have_values(prometheus: Prometheus) -> None:
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            selector, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"]).groups()  # type: ignore[union-attr]
            assert await prometheus.label(label, selector.replace("$namespace", ".*")), variable["name"]


async def the_alert_and_the_apis_agree(on: Stage, prometheus: Prometheus) -> None:
    """Whose step fails says `parked` by metric, alert and API; the others, and whoever only works for long, `slow`."""
    await on.start("slow")
    async with asyncio.timeout(4):  # sooner than its call is given up
        while not (await looked_at(on, "slow", "kitchen"))["slow"]:
            await asyncio.sleep(0.05)
    seen = {(key, name): await looked_at(on, key, name) for key in ("parked", "slow") for name in on.urls}
    assert [place for place, one in seen.items() if one["parked"]] == [("parked", "kitchen")]
    assert all(one["slow"] for one in seen.values())
    [(_, parked)] = await prometheus.values("sum by (namespace, saga) (sagamesh_sagas_parked) > 0")
    assert parked == 1, "the alert counts what fails, not what takes long"
    CONFIRMED.set()


async def looked_at(on: Stage, key: str, participant: str) -> dict[str, Any]:
    """An instance as the API of a participant shows it."""
    answer = await ask("GET", f"{on.urls[participant][0].api}/v1/sagas/{on.saga.name}/{key}")
    shown: dict[str, Any] = json.loads(answer.text)
    return shown
