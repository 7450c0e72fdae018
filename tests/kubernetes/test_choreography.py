"""From `kubectl apply` to sagas that run: a real API server, operator, NATS, sidecars as processes and their services.

Whatever becomes of the operator, no saga notices.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import math
import re
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from msgspec.structs import replace

from sagamesh.language.model import Saga
from sagamesh_cli.local.example_services import example
from sagamesh_cli.local.sidecars import ProcessMember
from sagamesh_jetstream.client.ports import JsonObject
from sagamesh_sidecar.settings import SidecarSettings
from support.builders.orders import KINDS, MEALS, conclude, mixed, place
from support.processes.operating import Operator, Sagas
from support.processes.stage import Stage, run, stage
from support.processes.web import ask
from support.servers.control_plane import Cluster
from support.servers.nats_server import NatsServer

NAME = "create-order"


class Town:
    """Example 02 in a namespace of the cluster: brought there by `kubectl apply` and the operator."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster = cluster
        self.sagas = Sagas(cluster, namespace)
        self.document: JsonObject = yaml.safe_load((example(MEALS) / "saga.yaml").read_text())
        self.document["metadata"]["namespace"] = namespace
        self.operator: Operator
        self.on: Stage

    async def apply(self, **spec: Any) -> None:
        document = copy.deepcopy(self.document)
        document["spec"] |= spec
        await self.sagas.apply(document)

    async def status(self) -> JsonObject:
        found: JsonObject = (await self.sagas.get(NAME))["status"]
        return found


@contextlib.asynccontextmanager
async def town(cluster: Cluster, namespace: str, directory: Path, **settings: Any) -> AsyncIterator[Town]:
    built = Town(cluster, namespace)

    async def applied(nats: str, _: Saga) -> None:
        built.operator = Operator(cluster, nats, directory)
        await built.operator.start()
        await built.apply()
        await built.sagas.until(NAME, "Distributed", "True")

    here = partial(replace, namespace=namespace)
    async with stage(MEALS, directory, ack_wait=None, change=here, distributed=applied, **settings) as on:
        built.on = on
        try:
            await built.sagas.until(NAME, "Ready", "True")
            yield built
        finally:
            await built.operator.stop()
            await built.sagas.kubectl("delete", "sagas", "--all")


def test_what_is_applied_runs_and_is_undone(resources: Cluster, namespace: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with town(resources, namespace, tmp_path) as here:
            status = await here.status()
            assert status["synced"] == "4/4"
            assert {each["name"]: each["synced"] for each in status["participants"]} == dict.fromkeys(
                ("orders", "consumers", "kitchen", "accounting"), 1
            )
            orders = mixed("first", 30)
            await place(here.on, orders)
            await conclude(here.on, orders)
            events = await here.sagas.events(NAME)
            assert events[-1][:2] == ("Normal", "Ready")

    run(scenario(), 120.0)


def test_no_saga_notices_that_the_operator_is_dead(
    resources: Cluster, namespace: str, tmp_path: Path, report: list[str]
) -> None:
    async def scenario() -> None:
        async with town(resources, namespace, tmp_path) as here:
            await here.operator.kill()
            since = datetime.now(UTC)
            began = time.monotonic()
            for batch in range(5):
                orders = mixed(f"alone-{batch}", 100)
                await place(here.on, orders)
                # F31: No saga notices
                await conclude(here.on, orders, seconds=60.0)
            assert resources.audit("operator", since) == [], "nobody asked the API server in its name"
            report.append(
                f"500 sagas ran forward and back while the operator was dead, in {time.monotonic() - began:.1f} s; "
                f"calls of it in the audit log: 0"
            )

    run(scenario(), 200.0)


def test_an_instance_keeps_its_revision_and_a_new_one_takes_the_new(
    resources: Cluster, namespace: str, tmp_path: Path
) -> None:
    async def scenario() -> None:
        slow = {"kitchen": ("--slow", "3")}
        async with town(resources, namespace, tmp_path, services=slow) as here:
            old = (await here.status())["activeRevision"]
            before = mixed("before", 3)
            await place(here.on, before)
            await here.apply(parkAfter="9m")
            await here.sagas.until(NAME, "Ready", "True")
            new = (await here.status())["activeRevision"]
            assert new != old
            after = mixed("after", 3)
            await place(here.on, after)
            await conclude(here.on, before | after)
            for key in before | after:
                revisions = {register.origin.revision for register in (await here.on.registers(key)).values()}
                assert revisions == {old if key in before else new}

    run(scenario(), 120.0)


def test_a_deleted_saga_ends_what_it_began(resources: Cluster, namespace: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        slow = {"kitchen": ("--slow", "4")}
        async with town(resources, namespace, tmp_path, services=slow) as here:
            orders = mixed("last", 3)
            await place(here.on, orders)
            await here.sagas.delete(NAME)
            await told(here, "Retiring")
            assert (await here.operator.metric("saga_retiring_instances", namespace=namespace, saga=NAME) or 0) >= 1
            while (await here.on.post(f"late-{len(orders)}")).status != 404:  # until nobody starts it any more
                orders[f"late-{len(orders)}"] = KINDS["fine"]  # accepted, hence not lost
            await conclude(here.on, orders)
            await told(here, "Retired")
            assert here.on.stream not in await streams(here)
            assert await here.operator.metric("saga_retiring_instances", saga=NAME) is None
            for one in here.on.sidecars:
                await forgotten(here, one)
            await here.apply()
            await here.sagas.until(NAME, "Ready", "True")
            again = mixed("again", 3)
            await place(here.on, again)
            await conclude(here.on, again)

    run(scenario(), 120.0)


async def told(here: Town, reason: str) -> None:
    async with asyncio.timeout(60):
        while reason not in [event[1] for event in await here.sagas.events(NAME)]:
            await asyncio.sleep(0.05)


async def forgotten(here: Town, participant: str) -> None:
    """Wait until a sidecar says no more of the saga: it would ask for its deliveries for ever, and alarm."""
    async with asyncio.timeout(20):
        while f'saga="{NAME}"' in gauges((await ask("GET", f"{here.on.urls[participant][0].health}/metrics")).text):
            await asyncio.sleep(0.05)


def gauges(metrics: str) -> str:
    return "\n".join(line for line in metrics.splitlines() if re.match("sagamesh_(rules_info|consumer_up)", line))


async def streams(here: Town) -> list[str]:
    return [each["config"]["name"] for each in (await here.on.api("STREAM.LIST"))["streams"]]


# -- how fast ------------------------------------------------------------------------------------------------------

PARTICIPANTS = 20
CHANGES = 60


def wide(namespace: str, change: int) -> JsonObject:
    """A saga of twenty participants, one after the other."""
    steps = [
        {
            "name": f"step-{n}",
            "participant": f"p-{n}",
            "after": [f"step-{n - 1}.done" if n else "go"],
            "action": {"path": "/do"},
            "compensation": {"path": "/undo"},
        }
        for n in range(PARTICIPANTS)
    ]
    spec = {"start": {"participant": "p-0", "event": "go"}, "steps": steps, "parkAfter": f"{change + 1}m"}
    metadata = {"name": "wide", "namespace": namespace}
    return {"apiVersion": "sagamesh.dev/v1alpha1", "kind": "Saga", "metadata": metadata, "spec": spec}


@pytest.mark.alone
def test_how_soon_every_sidecar_holds_what_was_applied(
    resources: Cluster, namespace: str, tmp_path: Path, report: list[str]
) -> None:
    async def scenario() -> None:
        sagas = Sagas(resources, namespace)
        with NatsServer(tmp_path / "nats") as nats:
            operator = Operator(resources, nats.url, tmp_path)
            await operator.start()
            await sagas.apply(wide(namespace, 0))
            members = [ProcessMember(member(namespace, f"p-{n}", nats.url), tmp_path) for n in range(PARTICIPANTS)]
            try:
                await asyncio.gather(*(one.start() for one in members))
                await sagas.until("wide", "Ready", "True")
                idle = operator.rss()
                await synced(sagas, wide(namespace, CHANGES))  # kubectl asks for the server's schema once, for a second
                took = sorted([await synced(sagas, wide(namespace, change)) for change in range(1, CHANGES)])
            finally:
                await asyncio.gather(*(one.stop() for one in members))
                await operator.stop()
                await sagas.kubectl("delete", "sagas", "--all")
        worst = took[math.ceil(0.99 * len(took)) - 1]
        report.append(
            f"from `kubectl apply` to every sidecar of {PARTICIPANTS} participants synced, {len(took)} times: "
            f"p50 {took[len(took) // 2]:.2f} s, p99 {worst:.2f} s; operator {idle:.0f} MiB idle"
        )

    run(scenario(), 230.0)


async def synced(sagas: Sagas, document: JsonObject) -> float:
    """Seconds from the start of `kubectl apply` until the status says that all hold it."""

    def is_there(found: JsonObject) -> bool:
        ready = [each for each in found["status"]["conditions"] if each["type"] == "Ready"]
        current = ready[0]["observedGeneration"] == found["metadata"]["generation"]
        return found["spec"]["parkAfter"] == document["spec"]["parkAfter"] and current and ready[0]["status"] == "True"

    with sagas.watched() as watched:
        began = time.monotonic()
        applying = asyncio.create_task(sagas.apply(document))
        moment = await asyncio.to_thread(lambda: next(time.monotonic() for each in watched if is_there(each)))
        await applying
    return moment - began


def member(namespace: str, participant: str, nats: str) -> SidecarSettings:
    return SidecarSettings(
        namespace=namespace,
        participant=participant,
        nats=nats,
        pod=f"{participant}-1",
        api_port=0,
        health_host="127.0.0.1",
        health_port=0,
    )
