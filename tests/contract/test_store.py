"""What the sidecar asks of a place that outlives it: over files, and over one in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from sagamesh_sidecar.adapters.files import FileStore
from sagamesh_sidecar.adapters.memory import MemoryStore
from sagamesh_sidecar.ports import Store, StoreError

Open = Callable[[], Store]


@pytest.fixture(params=["file", "memory"])
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Opens the same place again and again, as processes do one after the other."""
    if request.param == "file":
        return lambda: FileStore(tmp_path / "deep" / "below" / "rules")
    kept = MemoryStore()
    return lambda: kept


def test_nothing_was_written_yet(reopen: Open) -> None:
    assert asyncio.run(reopen().read()) is None


def test_what_was_written_last_is_read_by_the_next(reopen: Open) -> None:
    for body in (b"first", b"a second one, \x00\xff", b"", bytes(1_000_000)):
        asyncio.run(reopen().write(body))
        assert asyncio.run(reopen().read()) == body


# -- files alone -----------------------------------------------------------------------------------------------------


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    with pytest.raises(StoreError, match="rules: Is a directory"):
        asyncio.run(FileStore(tmp_path / "rules").read())


def test_a_place_that_cannot_be_written_is_told_and_keeps_what_it_had(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "rules")
    asyncio.run(store.write(b"before"))
    (tmp_path / "rules.half").mkdir()
    with pytest.raises(StoreError, match="rules: "):
        asyncio.run(store.write(b"after"))
    assert asyncio.run(store.read()) == b"before"


def test_what_a_crash_left_half_written_is_never_read(tmp_path: Path) -> None:
    (tmp_path / "rules.half").write_bytes(b"ha")
    store = FileStore(tmp_path / "rules")
    assert asyncio.run(store.read()) is None
    asyncio.run(store.write(b"whole"))
    assert [path.name for path in tmp_path.iterdir()] == ["rules"]
