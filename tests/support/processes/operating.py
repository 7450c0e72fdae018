"""The operator as a process, and sagas on a cluster as tests see them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from sagamesh_cli.local.nats_server import die_with
from sagamesh_jetstream.client.ports import JsonObject
from support.servers.control_plane import Cluster, ControlPlane
from support.servers.nats_server import NatsServer

STEP = {
    "name": "charge",
    "participant": "payments",
    "after": ["order.placed"],
    "action": {"path": "/charges"},
    "pivot": True,
}


def saga(name: str = "checkout", **spec: object) -> JsonObject:
    """A small one, with other fields of its spec."""
    whole = {"start": {"participant": "orders", "event": "order.placed"}, "steps": [STEP], **spec}
    return {"apiVersion": "sagamesh.dev/v1alpha1", "kind": "Saga", "metadata": {"name": name}, "spec": whole}


class Operator:
    """`sagamesh-operator`, with the rights of the cluster's user `operator`. Its log is kept in `directory`."""

    def __init__(self, cluster: Cluster, nats: str, directory: Path, **settings: str) -> None:
        self.log = directory / "operator.log"
        self.process: asyncio.subprocess.Process | None = None
        self._environment = {
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),  # where a changed copy of a module may stand
            "KUBECONFIG": str(cluster.kubeconfig("operator")),
            "SAGAMESH_NATS": nats,
            "SAGAMESH_HTTP_HOST": "127.0.0.1",
            "SAGAMESH_HTTP_PORT": "0",
            **settings,
        }

    async def start(self) -> None:
        """Returns once everything was listed: it is ready."""
        self.log.touch()
        before = self.log.stat().st_size
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "sagamesh_operator",
                env={"PATH": os.environ["PATH"], "HOME": str(self.log.parent), **self._environment},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=die_with(os.getpid()),
            )
        self.url = ""
        async with asyncio.timeout(30):
            while not self.url:
                assert self.process.returncode is None, self.words()
                found = re.search(r"metrics at (\S+)/metrics", self.log.read_bytes()[before:].decode())
                self.url = found[1] if found else ""
                await asyncio.sleep(0.02)

    async def ready(self) -> None:
        async with asyncio.timeout(30):
            while await self.probe("readyz") != 200:
                await asyncio.sleep(0.02)

    async def stop(self) -> int:
        """As Kubernetes stops it; its exit status."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.terminate()
        return await self.process.wait()

    async def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        await self.process.wait()

    async def probe(self, path: str) -> int:
        """The status of a probe."""
        try:
            return (await asyncio.to_thread(urllib.request.urlopen, f"{self.url}/{path}")).status
        except urllib.error.HTTPError as error:
            return error.code

    async def metrics(self) -> str:
        answer = await asyncio.to_thread(urllib.request.urlopen, f"{self.url}/metrics")
        text: str = answer.read().decode()
        return text

    async def metric(self, name: str, **labels: str) -> float | None:
        """The value of a series; None: there is none."""
        wanted = {f'{label}="{value}"' for label, value in labels.items()}
        for series, value in re.findall(
            rf"^sagamesh_operator_{name}(?:{{(.*)}})? (\S+)$", await self.metrics(), re.MULTILINE
        ):
            if wanted <= set(series.split(",")):
                return float(value)
        return None

    def rss(self) -> float:
        """MiB that it has in memory."""
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]

    def words(self) -> str:
        return "\n".join(self.log.read_text().splitlines()[-20:])


class Sagas:
    """The Sagas of one namespace."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace

    async def apply(self, document: Mapping[str, Any], **how: Any) -> None:
        await self.kubectl("apply", "-f", "-", stdin=json.dumps(document), **how)

    async def apply_many(self, documents: Sequence[Mapping[str, Any]]) -> None:
        await self.apply({"apiVersion": "v1", "kind": "List", "items": documents})

    async def distributed(self) -> int:
        """How many of them are."""
        path = "{range .items[*]}{.status.conditions[?(@.type=='Distributed')].status}{'\\n'}{end}"
        return (await self.kubectl("get", "sagas", "-o", f"jsonpath={path}")).count("True")

    async def apply_file(self, path: Path) -> JsonObject:
        """The saga of an example, here; what was applied."""
        document: JsonObject = yaml.safe_load(path.read_text())
        document["metadata"]["namespace"] = self.namespace
        await self.apply(document)
        return document

    async def delete(self, name: str) -> None:
        await self.kubectl("delete", "saga", name, "--wait=false")

    async def kubectl(self, *arguments: object, **how: Any) -> str:
        done = await asyncio.to_thread(self.cluster.kubectl, "-n", self.namespace, *arguments, **how)
        return done.stdout

    async def get(self, name: str) -> JsonObject:
        found: JsonObject = json.loads(await self.kubectl("get", "saga", name, "-o", "json"))
        return found

    @contextlib.contextmanager
    def watched(self) -> Iterator[Iterator[JsonObject]]:
        """Every Saga here, as it is and whenever it changes: one request, which costs next to nothing meanwhile."""
        assert isinstance(self.cluster, ControlPlane)
        url = f"{self.cluster.url}/apis/sagamesh.dev/v1alpha1/namespaces/{self.namespace}/sagas?watch=true"
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {self.cluster.token('admin')}"})
        trust = ssl.create_default_context(cafile=str(self.cluster.ca))
        with urllib.request.urlopen(request, context=trust, timeout=30) as answer:
            yield (json.loads(line)["object"] for line in answer)

    async def condition(self, name: str, kind: str) -> JsonObject:
        """A condition of the spec as it is now; empty: there is none yet."""
        found = await self.get(name)
        conditions = found.get("status", {}).get("conditions", ())
        current = found["metadata"]["generation"]
        return next((c for c in conditions if c["type"] == kind and c["observedGeneration"] == current), {})

    async def until(self, name: str, kind: str, status: str, reason: str = "", seconds: float = 30.0) -> JsonObject:
        """Wait for a condition; it."""
        found: JsonObject = {}
        try:
            async with asyncio.timeout(seconds):
                while True:
                    found = await self.condition(name, kind)
                    if found.get("status") == status and reason in ("", found["reason"]):
                        return found
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"{name} is not {kind}={status} {reason} in {seconds:g} s, but {found}") from None

    async def events(self, name: str) -> list[tuple[str, str, str]]:
        """(type, reason, message) of each Event about a saga, in order."""
        found = json.loads(await self.kubectl("get", "events.events.k8s.io", "-o", "json"))["items"]
        about = [event for event in found if event["regarding"]["name"] == name]
        about.sort(key=lambda event: event["eventTime"])
        return [(event["type"], event["reason"], event["note"]) for event in about]


@contextlib.asynccontextmanager
async def operated(
    cluster: Cluster, namespace: str, directory: Path
) -> AsyncIterator[tuple[NatsServer, Operator, Sagas]]:
    """A NATS server and an operator that works; the Sagas of the namespace are gone at the end."""
    sagas = Sagas(cluster, namespace)
    with NatsServer(directory / "nats") as nats:
        operator = Operator(cluster, nats.url, directory)
        await operator.start()
        try:
            yield nats, operator, sagas
        finally:
            await operator.stop()
            await sagas.kubectl("delete", "sagas", "--all")  # or the next operator would find them
