"""The injector as a process, and what the chart gives it on a cluster: webhook, Service, Secret and rights."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import sys
import urllib.error
import urllib.request
from pathlib import Path

from sagamesh_cli.local.nats_server import die_with
from sagamesh_jetstream.client.ports import JsonObject
from sagamesh_tools import chart
from support.servers.control_plane import Cluster

SYSTEM = "sagamesh-system"
NAME = "sagamesh-injector"
SECRET = f"{NAME}-certificate"
WEBHOOK_ENTRY = "injector.sagamesh.dev"
KINDS = ("MutatingWebhookConfiguration", "Secret", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")


def given() -> list[JsonObject]:
    """What the chart installs for it: the webhook, the empty Secret, and all its rights."""
    return [
        each
        for each in chart.render()
        if each["kind"] in KINDS and each["metadata"]["labels"]["app.kubernetes.io/component"] == "injector"
    ]


def service(address: str, ports: list[int], namespace: str = SYSTEM) -> list[JsonObject]:
    """The Service, and one slice of endpoints for each replica: all of them are at one address here."""
    where = {"name": NAME, "namespace": namespace}
    found: list[JsonObject] = [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": where,
            "spec": {"ports": [{"name": "webhook", "port": 443, "targetPort": 10250}]},
        }
    ]
    for number in range(2):
        labels = {"kubernetes.io/service-name": NAME}
        slice_ = {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": f"{NAME}-{number}", "namespace": namespace, "labels": labels},
            "addressType": "IPv4",
            "ports": [{"name": "webhook", "port": ports[number % len(ports)]}],
            "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
        }
        found.append(slice_)
    return found


def own_address() -> str | None:
    """An address of this machine that is no loopback, as endpoints must be; None: it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("198.51.100.1", 9))  # nothing is sent: it only asks which address would be used
        except OSError:
            return None
        address: str = sock.getsockname()[0]
        return None if address.startswith("127.") else address


class Injector:
    """`sagamesh-injector`, with the rights of the cluster's user `injector`. Its log is kept in `directory`."""

    def __init__(self, cluster: Cluster, directory: Path, address: str, **settings: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.log = directory / "injector.log"
        self.process: asyncio.subprocess.Process | None = None
        self._environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),  # where a changed copy of a module may stand
            "HOME": str(directory),
            "TMPDIR": str(directory),
            "KUBECONFIG": str(cluster.kubeconfig("injector")),
            "SAGAMESH_SIDECAR_IMAGE": "example.org/sagamesh-sidecar:1",
            "SAGAMESH_NATS": "nats://nats.nats.svc:4222",
            "SAGAMESH_NAMESPACE": SYSTEM,
            "SAGAMESH_SERVICE": NAME,
            "SAGAMESH_WEBHOOK": NAME,
            "SAGAMESH_CA_SECRET": SECRET,
            "SAGAMESH_WEBHOOK_HOST": address,
            "SAGAMESH_WEBHOOK_PORT": "0",
            "SAGAMESH_HTTP_HOST": "127.0.0.1",
            "SAGAMESH_HTTP_PORT": "0",
            "SAGAMESH_LINGER": "0s",
            **settings,
        }

    async def start(self) -> int:
        """The webhook's port, once the injector is ready."""
        with self.log.open("wb") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "sagamesh_operator.injection.webhook",
                env=self._environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=die_with(os.getpid()),
            )
        async with asyncio.timeout(30):
            while not (found := re.search(r"webhook on port (\d+), metrics at (\S+)/metrics", self.log.read_text())):
                assert self.process.returncode is None, self.log.read_text()
                await asyncio.sleep(0.02)
            self.url = found[2]
            while await self.probe("readyz") != 200:
                assert self.process.returncode is None, self.log.read_text()
                await asyncio.sleep(0.02)
        return int(found[1])

    async def stop(self) -> int:
        """As Kubernetes stops it; its exit status."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.terminate()
        return await self.process.wait()

    async def probe(self, path: str) -> int:
        """The status of a probe."""
        try:
            return (await asyncio.to_thread(urllib.request.urlopen, f"{self.url}/{path}")).status
        except urllib.error.HTTPError as error:
            return error.code

    async def metric(self, name: str) -> float:
        """The value of a series, which is written as Prometheus does, with its labels."""
        answer = await asyncio.to_thread(urllib.request.urlopen, f"{self.url}/metrics")
        found = re.search(rf"^sagamesh_injector_{re.escape(name)} (\S+)$", answer.read().decode(), re.MULTILINE)
        assert found, name
        return float(found[1])


async def install(cluster: Cluster, *documents: JsonObject) -> None:
    items = json.dumps({"apiVersion": "v1", "kind": "List", "items": documents})
    await asyncio.to_thread(cluster.kubectl, "apply", "-f", "-", stdin=items)
