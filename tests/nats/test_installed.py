"""What `helm test` runs, to its end: the chart's own small saga, on a real server, with a sidecar of its own."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from sagamesh.language import checks, spec
from sagamesh_cli.local.mesh import provision
from sagamesh_jetstream.client.ports import JsonObject
from sagamesh_jetstream.client.session import connect
from sagamesh_jetstream.upkeep.fleet import read_fleet
from sagamesh_operator import probes
from sagamesh_operator.metrics import OperatorMetrics
from sagamesh_tools.chart import render
from support.processes.stage import run
from support.servers.nats_server import NatsServer
from support.servers.ports import free_ports


def hook(kind: str) -> JsonObject:
    """What Helm creates for the test."""
    [found] = [each for each in render() if each["kind"] == kind and "helm.sh/hook" in each["metadata"]["annotations"]]
    return found


def test_the_saga_completes_as_soon_as_it_is_distributed(tmp_path: Path) -> None:
    saga = spec.read(hook("Saga"))
    assert checks.check(saga) == ()
    [container] = hook("Pod")["spec"]["containers"]
    given = {each["name"]: each["value"] for each in container["env"]}
    assert given["SAGAMESH_PARTICIPANT"] == saga.start.participant

    async def scenario() -> None:
        metrics = OperatorMetrics(connected=lambda: True, behind=lambda: 0.0)
        operator = probes.serving("127.0.0.1", 0, metrics=metrics.exposition, alive=lambda: "", ready=lambda: "")
        with NatsServer(tmp_path / "nats") as server:
            async with operator as url:
                ports = dict(zip(("SAGAMESH_API_PORT", "SAGAMESH_HEALTH_PORT"), map(str, free_ports(2)), strict=True))
                path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
                here = {**given, **ports, "SAGAMESH_NATS": server.url, "PATH": path, "PAUSE": "0.1"}
                _, _, text, *_ = container["command"]
                program = (sys.executable, "-c", text, url.removeprefix("http://"))
                process = await asyncio.create_subprocess_exec(*program, stdout=-1, stderr=-2, env=here)
                assert process.stdout
                said = []
                while not any("a saga: not yet: 503" in line for line in said):
                    said.append((await process.stdout.readline()).decode())
                    assert said[-1], said
                await provision(server.url, [saga])
                said += (await process.stdout.read()).decode().splitlines()
                assert await process.wait() == 0, said
                assert said[-1] == "a saga: completed, with 2 steps"
                async with connect(server.url) as stream:
                    left = (await read_fleet(stream)).of(saga.namespace, saga.start.participant)
                assert left == (), "it is gone, so nothing keeps the saga from going"

    run(scenario(), 20.0)
