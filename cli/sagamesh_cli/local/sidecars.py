"""The sidecars of `dev` and `demo`: one for each participant, in this process or as processes of their own.

Both kinds start, say where they listen, and stop. A process that dies is started again on the same ports, as
Kubernetes would.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import msgspec

from sagamesh_cli.errors import EnvironmentFault
from sagamesh_cli.local.nats_server import die_with
from sagamesh_sidecar.app import Sidecar
from sagamesh_sidecar.errors import PortError
from sagamesh_sidecar.settings import SidecarSettings, to_environment

START_TIMEOUT = 60.0
"""Seconds until a sidecar must be ready, on a machine that does much else."""
PAUSE, LONGEST_PAUSE = 0.2, 5.0
"""Seconds until a process that died is started again: for each time that it died, and the most of all."""
TICK = 0.02
"""Seconds between looks for its ready file."""


class Urls(msgspec.Struct, frozen=True):
    """Where a sidecar listens."""

    api: str
    health: str


class Member(Protocol):
    """One sidecar."""

    async def start(self) -> Urls:
        """Start it and wait until it holds its rules. Raises EnvironmentFault."""
        ...

    def check(self) -> None:
        """Raises what ended it, where it neither goes on nor comes back."""
        ...

    async def stop(self) -> None: ...


class TaskMember:
    """A sidecar in this process."""

    def __init__(self, settings: SidecarSettings) -> None:
        self.sidecar = Sidecar(settings)
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> Urls:
        ready = asyncio.Event()
        self._task = asyncio.create_task(self.sidecar.run(self._stop, ready.set))
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait({self._task, waiting}, return_when=asyncio.FIRST_COMPLETED, timeout=START_TIMEOUT)
        waiting.cancel()
        if not ready.is_set():
            await self.stop()
            raise _not_ready(self.sidecar.settings)
        return Urls(self.sidecar.api.url, self.sidecar.health.url)

    def check(self) -> None:
        if self._task is not None and self._task.done():
            self._task.result()

    async def stop(self) -> None:
        self._stop.set()
        if self._task is not None:
            try:
                await self._task
            except PortError as error:
                raise EnvironmentFault(str(error)) from error


class ProcessMember:
    """A sidecar as a process. Its log goes to a file in `directory`, which holds its ready file, too.

    `told` is called with a sentence whenever it had to be started again.
    """

    def __init__(
        self, settings: SidecarSettings, directory: Path, *command: str, told: Callable[[str], object] = lambda _: None
    ) -> None:
        self.told = told
        self.settings = replace(settings, ready_file=str(directory / f"{settings.participant}.ready"))
        self.log = directory / f"{settings.participant}.log"
        self.command = command or (sys.executable, "-m", "sagamesh_sidecar")
        self.process: asyncio.subprocess.Process | None = None
        self.restarts = 0
        self._keeper: asyncio.Task[None] | None = None

    async def start(self) -> Urls:
        await self._spawn()
        urls = await self._wait()
        self.settings = replace(self.settings, api_port=_port(urls.api), health_port=_port(urls.health))
        self._keeper = asyncio.create_task(self._keep())
        return urls

    def check(self) -> None:
        if self._keeper is not None and self._keeper.done():
            self._keeper.result()

    async def stop(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait({self._keeper})  # it may be about to start another one
        if self.process is not None and self.process.returncode is None:
            self.process.terminate()
            await self.process.wait()

    async def kill(self) -> int:
        """End it as a crash would (`kill -9`); its exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        return await self.process.wait()

    async def revived(self) -> Urls:
        """Wait until it is ready again after a crash."""
        while self.process is not None and self.process.returncode is not None:
            await asyncio.sleep(TICK)
        return await self._wait()

    async def _spawn(self) -> None:
        Path(self.settings.ready_file).unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self.command,
                env={**os.environ, **to_environment(self.settings)},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a Ctrl-C is passed on by us, in order
                preexec_fn=die_with(os.getpid()),
            )

    async def _wait(self) -> Urls:
        """Where it listens, once its ready file is there."""
        assert self.process is not None
        try:
            async with asyncio.timeout(START_TIMEOUT):
                while self.process.returncode is None:
                    try:
                        return msgspec.json.decode(Path(self.settings.ready_file).read_bytes(), type=Urls)
                    except FileNotFoundError:
                        await asyncio.sleep(TICK)
        except TimeoutError:
            raise _not_ready(self.settings) from None
        words = self.log.read_text(errors="replace").splitlines()[-1:]
        raise EnvironmentFault(f"the sidecar of {self.settings.participant} ended: {' '.join(words)}")

    async def _keep(self) -> None:
        """Start it again whenever it dies."""
        while True:
            assert self.process is not None
            status = await self.process.wait()
            self.restarts += 1
            self.told(f"the sidecar of {self.settings.participant} ended (exit status {status}); it is started again")
            await asyncio.sleep(min(LONGEST_PAUSE, PAUSE * self.restarts))
            await self._spawn()


def _port(url: str) -> int:
    return int(url.rpartition(":")[2])


def _not_ready(settings: SidecarSettings) -> EnvironmentFault:
    seconds = f"{START_TIMEOUT:g} seconds"
    return EnvironmentFault(f"the sidecar of {settings.participant} was not ready within {seconds}")
