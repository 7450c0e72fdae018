"""`sagamesh ...` as its user runs it: a process with options, what it says on both channels, and what it starts.

What it starts bears a mark in its environment, so that nothing that it leaves behind goes unseen.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import subprocess
import sysconfig
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Self

from support.processes.web import Answer, ask

MARK = "SAGAMESH_TEST_MARK"
BIN = Path(sysconfig.get_path("scripts"))
WIDTH = "100"
"""Columns, as of a terminal that is wide enough for every line."""


class Command:
    """One run. `said` and `complained` are its stdout and stderr up to now, unless it has a `terminal`."""

    def __init__(
        self,
        directory: Path,
        *arguments: object,
        program: str = "sagamesh",
        terminal: int | None = None,
        **environment: str,
    ) -> None:
        self.mark = secrets.token_hex(8)
        self.directory = directory
        self._out, self._err = (directory / f"{self.mark}.{name}" for name in ("out", "err"))
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [BIN / program, *map(str, arguments)],
                cwd=directory,
                env={**os.environ, "COLUMNS": WIDTH, MARK: self.mark, **environment},
                stdin=subprocess.DEVNULL,
                stdout=out if terminal is None else terminal,
                stderr=err if terminal is None else terminal,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        return self._out.read_text()

    @property
    def complained(self) -> str:
        return self._err.read_text()

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    async def ended(self, seconds: float = 30.0) -> int:
        """Its exit status. Whatever it was, there was no traceback, and nothing is left that it had started."""
        await self.until(lambda: self.process.poll() is not None, seconds)
        assert "Traceback" not in self.said + self.complained, self.said + self.complained
        assert relatives(self.mark) == {}
        return self.process.returncode

    async def until(self, condition: Callable[[], object], seconds: float = 20.0) -> None:
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise AssertionError(f"not within {seconds:g} s; it said\n{self.said}\n{self.complained}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """A test that failed leaves nothing behind either."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pid in relatives(self.mark):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


class Apis:
    """The APIs of participants that run side by side: `listens` is what stands in a ready file."""

    listens: dict[str, Any]

    def api(self, participant: str) -> str:
        return str(self.listens["participants"][participant])

    async def start(self, participant: str, event: str, data: dict[str, Any], query: str = "") -> Answer:
        document = {"specversion": "1.0", "id": "1", "source": "/test", "type": event, "data": data}
        return await ask("POST", f"{self.api(participant)}/v1/events{query}", document, "application/cloudevents+json")

    async def get(self, participant: str, saga: str, instance: str, query: str = "") -> Any:
        """The instance."""
        answer = await ask("GET", f"{self.api(participant)}/v1/sagas/{saga}/{instance}{query}")
        assert answer.status == 200, answer.text
        return answer.body


class Dev(Command, Apis):
    """A `sagamesh dev` that is ready: `listens` is what its ready file says."""

    def __init__(self, directory: Path, *arguments: object) -> None:
        self.ready_file = directory / "ready.json"
        self.listens = {}
        self._stale = self._ready_bytes()
        super().__init__(directory, "dev", "--ready-file", self.ready_file, *arguments)

    async def ready(self) -> Self:
        await self.until(lambda: self._ready_bytes() not in (b"", self._stale) or self.process.poll() is not None)
        assert self.process.poll() is None, self.complained
        self.listens = json.loads(self.ready_file.read_text())
        return self

    def _ready_bytes(self) -> bytes:
        """What stands in the ready file, which may be that of a run before; nothing where there is none."""
        with contextlib.suppress(FileNotFoundError):
            return self.ready_file.read_bytes()
        return b""

    async def stop(self, number: int = signal.SIGINT) -> None:
        """As its user stops it: in order, with nothing left."""
        self.send(number)
        assert await self.ended() == 0, self.complained
        assert "\nstopping\n" in self.said
        assert not self.ready_file.exists()


@contextlib.asynccontextmanager
async def dev(directory: Path, *arguments: object) -> AsyncIterator[Dev]:
    """A `sagamesh dev` that is ready, and stopped in order at the end."""
    with Dev(directory, *arguments) as running:
        yield await running.ready()
        if running.process.poll() is None:
            await running.stop()


def relatives(mark: str) -> dict[int, str]:
    """Who lives of a command's family: pid -> command line."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):  # it has just ended
                if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                    found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    return found
