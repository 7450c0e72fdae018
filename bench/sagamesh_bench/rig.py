"""Everything that a measurement needs, as processes on this machine; and what they use of it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from msgspec import json
from msgspec.structs import replace

from sagamesh_bench.floor import Floor
from sagamesh_bench.sagas import FLOOR, NAMESPACE, PARTICIPANTS, SHAPES
from sagamesh_bench.script import record
from sagamesh_cli.local.mesh import provision
from sagamesh_cli.local.nats_server import EmbeddedServer, die_with
from sagamesh_cli.local.sidecars import ProcessMember
from sagamesh_sidecar.settings import SidecarSettings

TICK = os.sysconf("SC_CLK_TCK")
"""Of the kernel in a second: in them it counts what processes use."""
START_TIMEOUT = 30.0
"""Seconds until a process must be ready: many times what it takes, for a dozen start at once."""


class Process:
    """A process that says in a file that it is ready."""

    def __init__(self, directory: Path, name: str, *command: str) -> None:
        self.ready = directory / f"{name}.ready"
        self.command = command
        self.pid = 0

    async def start(self) -> str:
        """What its file says."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", *self.command, start_new_session=True, preexec_fn=die_with(os.getpid())
        )
        self.pid = self._process.pid
        async with asyncio.timeout(START_TIMEOUT):
            while not self.ready.exists():
                await asyncio.sleep(0.02)
        return self.ready.read_text()

    async def stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        await self._process.wait()


@dataclass(kw_only=True)
class Rig:
    """What runs. `apis`: where sagas of a namespace are started, each at participant `a`."""

    directory: Path
    server: EmbeddedServer
    app: Process
    app_url: str = ""
    apis: dict[str, str] = field(default_factory=dict)
    sidecars: dict[str, ProcessMember] = field(default_factory=dict)
    floors: dict[str, Process] = field(default_factory=dict)

    def pids(self) -> Mapping[str, list[int]]:
        """The processes, by what they are; this one makes the load."""
        sidecars = [member.process.pid for member in self.sidecars.values() if member.process is not None]
        floors = [floor.pid for floor in self.floors.values()]
        return {
            "load": [os.getpid()],
            "server": [self.server.pid],
            "app": [self.app.pid],
            "sidecars": sidecars,
            "floors": floors,
        }

    def cpu(self) -> dict[str, float]:
        """Seconds that each kind has used so far."""
        return {kind: sum(map(cpu_seconds, pids)) for kind, pids in self.pids().items()}


def cpu_seconds(pid: int) -> float:
    """User and system time of a process; finer for this one, which measures itself."""
    if pid == os.getpid():
        return time.process_time()
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def rss_mib(pid: int) -> float:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


@contextlib.asynccontextmanager
async def rig(
    directory: Path, *, floors: bool = True, server: EmbeddedServer | None = None, app: str = "app"
) -> AsyncIterator[Rig]:
    """Server, app and one sidecar for each participant, provisioned; beside them the floors."""
    async with contextlib.AsyncExitStack() as stack:
        if server is None:
            server = stack.enter_context(EmbeddedServer(directory / "nats"))
        namespaces = (NAMESPACE, FLOOR) if floors else (NAMESPACE,)
        sagas = [replace(shape.saga, namespace=namespace) for namespace in namespaces for shape in SHAPES.values()]
        await provision(server.url, sagas)
        service = Process(directory, "app", f"sagamesh_bench.{app}", str(directory / "app.ready"))
        built = Rig(directory=directory, server=server, app=service)
        url = built.app_url = await service.start()
        stack.push_async_callback(service.stop)
        await _start_sidecars(built, url, stack)
        if floors:
            await _start_floors(built, url, stack)
        yield built


async def _start_sidecars(built: Rig, app: str, stack: contextlib.AsyncExitStack) -> None:
    for name in PARTICIPANTS:
        settings = SidecarSettings(
            namespace=NAMESPACE,
            participant=name,
            nats=built.server.url,
            app=app,
            pod=f"{name}-1",
            api_port=0,
            health_host="127.0.0.1",
            health_port=0,
        )
        built.sidecars[name] = ProcessMember(settings, built.directory)
        stack.push_async_callback(built.sidecars[name].stop)
    urls = await asyncio.gather(*(member.start() for member in built.sidecars.values()))
    built.apis[NAMESPACE] = urls[0].api


async def _start_floors(built: Rig, app: str, stack: contextlib.AsyncExitStack) -> None:
    scripts = {name: record(shape) for name, shape in SHAPES.items()}
    for name in PARTICIPANTS:
        parts = {saga: of[name] for saga, of in scripts.items() if name in of}
        floor = Floor(name, built.server.url, app, str(built.directory / f"floor-{name}.ready"), parts)
        file = built.directory / f"floor-{name}.json"
        file.write_bytes(json.encode(floor))
        built.floors[name] = Process(built.directory, f"floor-{name}", "sagamesh_bench.floor", str(file))
    for process in built.floors.values():
        stack.push_async_callback(process.stop)
    urls = await asyncio.gather(*(process.start() for process in built.floors.values()))
    built.apis[FLOOR] = urls[0]
