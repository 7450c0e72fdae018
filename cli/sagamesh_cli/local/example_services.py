"""The services of an example as processes: started, killed and restarted on their ports, as a cluster might do it."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from sagamesh_cli.errors import EnvironmentFault
from sagamesh_cli.local.nats_server import die_with

START_TIMEOUT = 30.0
"""Seconds until a service must say where it listens: many times what it takes, for a machine that does much else."""


class ExampleService:
    """One participant's service, with its database `<name>.db` in `directory`."""

    def __init__(self, example: Path, name: str, directory: Path) -> None:
        self.example = example
        self.name = name
        self.directory = directory
        self.port = 0
        self.process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self, *options: str) -> str:
        """Start it, on the port that it had before if it had one; its URL. Raises EnvironmentFault."""
        command = (str(self.example / "services.py"), self.name, "--port", str(self.port))
        database = str(self.directory / f"{self.name}.db")
        with (self.directory / f"{self.name}.service.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, *command, "--db", database, *options),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with(os.getpid()),
            )
        assert self.process.stdout is not None
        try:
            said = await asyncio.wait_for(self.process.stdout.readline(), START_TIMEOUT)
        except TimeoutError:
            said = b""
        if not said.startswith(b"listening on "):
            words = Path(log.name).read_text(errors="replace").splitlines()[-1:] or ["it said nothing"]
            raise EnvironmentFault(f"the service {self.name} did not start: {words[0]}")
        self.port = int(said.decode().strip().rpartition(":")[2])
        return self.url

    async def kill(self) -> int:
        """End it as a crash would (`kill -9`); its exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        return await self.process.wait()

    async def stop(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.terminate()
            await self.process.wait()


@contextlib.asynccontextmanager
async def serving(
    folder: Path, names: Sequence[str], directory: Path, *options: str
) -> AsyncIterator[dict[str, ExampleService]]:
    """These services of an example, running, each with these options."""
    services = {name: ExampleService(folder, name, directory) for name in names}
    async with contextlib.AsyncExitStack() as stack:
        for service in services.values():
            stack.push_async_callback(service.stop)
        await asyncio.gather(*(service.start(*options) for service in services.values()))
        yield services


def example(name: str) -> Path:
    """The folder of an example: beside the installed command line, or in the repository that it is run from."""
    here = Path(__file__).parents[1]
    for folder in (here / "examples" / name, here.parents[1] / "examples" / name):
        if folder.is_dir():
            return folder
    raise EnvironmentFault(f"the example {name} is not installed here; run this from the repository")


def books(folder: Path) -> Callable[[Path], list[str]]:
    """The example's own check of its services' databases: the discrepancies that it finds."""
    spec = importlib.util.spec_from_file_location("books", folder / "books.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    balanced: Callable[[Path], list[str]] = module.balanced
    return balanced
