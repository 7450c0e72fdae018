"""`sagamesh get` on a real API server with a running operator: what there is, what is wrong, what was deleted."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from sagamesh.log import codec, registers
from sagamesh.log.registers import START, Instance, Origin
from sagamesh_sidecar.adapters.nats import NatsLog
from support.processes.command import Command
from support.processes.operating import STEP, Sagas, operated, saga
from support.processes.stage import run
from support.servers.control_plane import Cluster, until
from support.servers.nats_server import NatsServer


class Shell:
    """`sagamesh` as a user of that cluster runs it; its kubeconfig names no namespace."""

    def __init__(self, cluster: Cluster, namespace: str, directory: Path, user: str = "admin") -> None:
        self.namespace = namespace
        self.directory = directory
        self.environment = {"KUBECONFIG": str(cluster.kubeconfig(user))}

    async def get(self, *arguments: object, status: int = 0) -> str:
        return await self.run("get", "-n", self.namespace, *arguments, status=status)

    async def run(self, *arguments: object, status: int = 0) -> str:
        """What it said; of one that failed, what it complained about."""
        with Command(self.directory, *arguments, **self.environment) as command:
            assert await command.ended() == status, command.said + command.complained
            return command.complained if status else command.said

    async def document(self, *arguments: object) -> Any:
        return json.loads(await self.get("-o", "json", *arguments))


async def start(nats: NatsServer, namespace: str, name: str, revision: str) -> None:
    """An instance that runs, and never ends."""
    value = registers.Start(event="order.placed", id="o-1", source="test", digest="d")
    headers, body = codec.encode(START, value, Origin("run", 1, 1.0, revision, "pod", "attempt"), "orders")
    async with NatsLog(nats.url, name="test") as log:
        await log.put(Instance(namespace, name, "o-1").subject(START), headers, body)


def rows(text: str) -> dict[str, list[str]]:
    """Name -> the other cells, of a table's lines up to an empty one."""
    table, _, _ = text.partition("\n\n")
    return {line.split()[0]: line.split()[1:] for line in table.splitlines()}


def test_sagas_refused_ones_and_deleted_ones(
    resources: Cluster, cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    async def scenario(nats: NatsServer, on: Sagas) -> None:
        shell = Shell(cluster, namespace, tmp_path)
        for name in ("checkout", "refund"):
            await on.apply(saga(name))
            await on.until(name, "Distributed", "True")
        await on.apply(saga("typo", steps=[{**STEP, "after": ["order.plced"]}]))
        await on.until("typo", "Ready", "False", "NotAccepted")
        active = (await on.get("checkout"))["status"]["activeRevision"]
        await start(nats, namespace, "refund", (await on.get("refund"))["status"]["activeRevision"])
        await on.delete("refund")
        while not any(reason == "Retiring" for _, reason, _ in await on.events("refund")):
            await asyncio.sleep(0.05)

        listed = await shell.get()
        table = rows(listed)
        assert table["NAME"] == ["READY", "REVISION", "PARTICIPANTS", "SYNCED", "AGE"]
        assert table["checkout"][:4] == ["False", active, "2", "0/0"]
        assert table["typo"][:4] == ["False", "-", "-", "0/0"]
        assert table["refund"] == ["Retiring", "-", "-", "-", "-"]
        note = "deleted; 1 of its instances still run; log and rules stay until they end"
        assert listed.endswith(f"\n\nrefund: {note}\n")

        assert rows(await shell.get("-o", "wide"))["typo"][-1] == "NotAccepted"
        names = (await shell.get("-o", "name")).split()
        assert names == ["saga.sagamesh.dev/checkout", "saga.sagamesh.dev/typo"], "what kubectl finds"
        await on.kubectl("get", *names)
        assert (await shell.get(names[0])).startswith(f"{namespace}/checkout ")

        everywhere = await shell.run("get", "-A")
        assert f"{namespace}/refund: {note}" in everywhere
        assert rows(everywhere)[namespace][0] in ("checkout", "refund", "typo")

        one = await shell.get("typo")
        assert one.startswith(f"{namespace}/typo not ready\n")
        assert "Accepted     False   SM003" in one
        assert "did you mean 'order.placed'?" in one
        assert "payments     0         0" in await shell.get("checkout")
        assert note in await shell.get("refund")

        documents = {each["name"]: each for each in (await shell.document())["sagas"]}
        assert documents["refund"]["note"] == note
        assert (await shell.document("checkout"))["activeRevision"] == active
        assert [each["type"] for each in (await shell.document("checkout"))["conditions"]] == [
            "Accepted",
            "Distributed",
            "Ready",
            "Stalled",
        ]
        told = await shell.get("nothing", status=1)
        assert told == f"sagamesh: there is no saga nothing in the namespace {namespace}\n"

        await on.apply(saga("refund"))
        await on.until("refund", "Distributed", "True")
        assert rows(await shell.get())["refund"][0] == "False", "there is one again"

    async def whole() -> None:
        async with operated(cluster, namespace, tmp_path) as (nats, _, sagas):
            await scenario(nats, sagas)

    run(whole(), 120.0)


def test_without_rights_or_a_cluster_it_is_one_sentence(
    resources: Cluster, cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    async def scenario() -> None:
        tenant = Shell(cluster, namespace, tmp_path, "tenant")
        told = await tenant.get(status=3)
        assert told.startswith("sagamesh: the cluster does not let you look (")
        assert told.count("\n") == 1
        tenant.environment = {"KUBECONFIG": str(tmp_path / "none"), "HOME": str(tmp_path)}
        told = await tenant.run("get", status=3)
        assert told.startswith(f"sagamesh: there is no way into a cluster: there is no file {tmp_path}/none; ")
        assert told.count("\n") == 1

    run(scenario(), 60.0)


def test_who_may_not_list_events_sees_the_sagas_that_exist(
    resources: Cluster, cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    async def scenario() -> None:
        on = Sagas(cluster, namespace)
        await on.apply(saga("checkout"))
        await on.kubectl("create", "role", "reader", "--verb=list", "--resource=sagas.sagamesh.dev")
        await on.kubectl("create", "rolebinding", "reader", "--role=reader", "--user=tenant")
        wanted = ("auth", "can-i", "list", "sagas", "-n", namespace)
        await asyncio.to_thread(until, lambda: cluster.kubectl(*wanted, user="tenant", check=False).returncode == 0)
        shell = Shell(cluster, namespace, tmp_path, "tenant")
        with Command(tmp_path, "get", "-n", namespace, **shell.environment) as command:
            assert await command.ended() == 0
            assert rows(command.said)["checkout"][0] == "Unknown"
            assert "the cluster does not let you list Events" in command.complained
        await on.kubectl("delete", "sagas", "--all")

    run(scenario(), 60.0)


def test_the_doctor(resources: Cluster, cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    async def scenario(nats: NatsServer, on: Sagas) -> None:
        shell = Shell(cluster, namespace, tmp_path)
        await on.apply(saga("checkout"))
        await on.until("checkout", "Distributed", "True")
        said = await shell.run("doctor", "--nats", nats.url)
        assert f"ok       the API server answers: {cluster.version}" in said
        assert "ok       it is established and serves v1alpha1" in said
        assert "ok       it is the one that this command line knows" in said
        assert f"warning  every other Saga is ready: not {namespace}/checkout" in said
        assert "ok       there is the bucket sagamesh-rules: it belongs to the installation " in said
        assert "warning  NATS has three servers: it has 1" in said
        assert "failure" not in said
        assert "they belong to this cluster" not in said, "they do"

        await on.apply(saga("typo", steps=[{**STEP, "after": ["order.plced"]}]))
        await on.until("typo", "Accepted", "False")
        failed = json.loads(await failing(shell, "doctor", "-o", "json"))
        assert failed["success"] is False
        [wrong] = [each for each in failed["checks"] if each["level"] == "failure"]
        assert (wrong["what"], wrong["found"]) == ("every Saga is accepted", f"not {namespace}/typo")

        shell.environment = {"KUBECONFIG": str(tmp_path / "none")}
        alone = await shell.run("doctor", "--nats", nats.url)
        assert f"skipped  there is a cluster: there is no way into a cluster: there is no file {tmp_path}/none" in alone
        nats.stop()
        gone = await failing(shell, "doctor", "--nats", nats.url)
        assert "failure  the server answers: NATS at " in gone
        assert "failure  there is a cluster" in await failing(shell, "doctor")

    async def failing(shell: Shell, *arguments: object) -> str:
        with Command(tmp_path, *arguments, **shell.environment) as command:
            assert await command.ended() == 1, command.said
            assert command.complained == ""
            return command.said

    async def whole() -> None:
        async with operated(cluster, namespace, tmp_path) as (nats, _, sagas):
            await scenario(nats, sagas)

    run(whole(), 120.0)
