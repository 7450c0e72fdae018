"""ports.Store as a file, and as none. Disks may be slow: all of it runs in a thread."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from sagamesh_sidecar.ports import StoreError


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
        half = self._path.with_name(f"{self._path.name}.half")
        try:
            half.parent.mkdir(parents=True, exist_ok=True)
            with half.open("wb") as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())  # else a power cut could leave the new name with nothing behind it
            half.replace(self._path)
        except OSError as error:
            raise StoreError(f"{self._path}: {error.strerror}") from error


class NoStore:
    """Nothing is kept."""

    async def read(self) -> bytes | None:
        return None

    async def write(self, body: bytes) -> None:
        pass
