"""ports.Store as a file, and as none. Disks may be slow: all of it runs in a thread.

`write_whole` is for everybody who leaves a file for another process: the sidecar, and the command line and the bench,
which may import the sidecar. It stands here because core knows no disk.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from sagamesh_sidecar.ports import StoreError


def write_whole(path: Path, body: bytes, *, durable: bool = False) -> None:
    """Write beside its place, then rename: whoever reads the file finds what was there before, or all of this.

    `durable`: also after a power cut. Raises OSError.
    """
    half = path.with_name(f"{path.name}.half")
    with half.open("wb") as file:
        file.write(body)
        if durable:
            file.flush()
            os.fsync(file.fileno())  # else a power cut could leave the new name with nothing behind it
    half.replace(path)


class FileStore:
    """The file at `path`; its directory is made when it is needed. One process may write it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def read(self) -> bytes | None:
        return await asyncio.to_thread(self._read)

    async def write(self, body: bytes) -> None:
        await asyncio.to_thread(self._write, body)

    def _read(self) -> bytes | None:
        try:
            return self._path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"{self._path}: {error.strerror}") from error

    def _write(self, body: bytes) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self._path, body, durable=True)
        except OSError as error:
            raise StoreError(f"{self._path}: {error.strerror}") from error


class NoStore:
    """Nothing is kept."""

    async def read(self) -> bytes | None:
        return None

    async def write(self, body: bytes) -> None:
        pass
