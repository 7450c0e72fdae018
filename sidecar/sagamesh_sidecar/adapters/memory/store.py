"""ports.Store, for tests: what is written stays as long as the object."""

from __future__ import annotations

from sagamesh_sidecar.ports import StoreError


class MemoryStore:
    """`full`: it takes nothing. `writes`: how often it took something."""

    def __init__(self, body: bytes | None = None) -> None:
        self.body = body
        self.full = False
        self.writes = 0

    async def read(self) -> bytes | None:
        return self.body

    async def write(self, body: bytes) -> None:
        if self.full:
            raise StoreError("no space left")
        self.body = body
        self.writes += 1
