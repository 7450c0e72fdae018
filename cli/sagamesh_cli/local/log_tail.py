"""What is written to a file from now on, line by line, while it runs: the log of a sidecar in a process of its own.

By looking now and then, so that a reader who is slow holds up nobody who writes.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

LOOK = 0.1
"""Seconds between looks: a line is there while its reader still wonders."""


class LogTail:
    """The end of a file, which need not be there yet. `told` is called with each line that is whole."""

    def __init__(self, path: Path, told: Callable[[bytes], object]) -> None:
        self._path = path
        self._told = told
        self._read = path.stat().st_size if path.exists() else 0
        self._rest = b""

    def look(self) -> None:
        """Tell what has come since the last look."""
        with contextlib.suppress(FileNotFoundError), self._path.open("rb") as file:
            file.seek(self._read)
            piece = file.read()
            self._read += len(piece)
            *lines, self._rest = (self._rest + piece).split(b"\n")
            for line in lines:
                self._told(line)


@contextlib.asynccontextmanager
async def tailing(path: Path, told: Callable[[bytes], object]) -> AsyncIterator[None]:
    """Tell what is written to a file meanwhile."""
    tail = LogTail(path, told)

    async def keep_looking() -> None:
        while True:
            tail.look()
            await asyncio.sleep(LOOK)

    looking = asyncio.create_task(keep_looking())
    try:
        yield
    finally:
        looking.cancel()
        await asyncio.wait({looking})
        tail.look()
