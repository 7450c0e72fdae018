"""Files that are there whole, or not at all. What a store promises beyond that: `tests/contract/test_store.py`."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from sagamesh_sidecar.adapters.files import FileStore, write_whole


def test_whoever_reads_finds_the_old_one_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "ready.json"
    write_whole(path, b"old")
    with path.open("rb") as reader:
        write_whole(path, b"a new one")
        assert reader.read() == b"old"
    assert path.read_bytes() == b"a new one"
    assert [each.name for each in tmp_path.iterdir()] == ["ready.json"]


def test_files_of_one_stem_do_not_write_over_each_other(tmp_path: Path) -> None:
    (tmp_path / "ready.half").mkdir()
    write_whole(tmp_path / "ready.json", b"whole")
    assert (tmp_path / "ready.json").read_bytes() == b"whole"


@pytest.fixture
def synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, bool]]:
    """Of each call of fsync: how much was in the file by then, and whether `rules` was there already."""
    found: list[tuple[int, bool]] = []
    monkeypatch.setattr(
        os, "fsync", lambda number: found.append((os.fstat(number).st_size, (tmp_path / "rules").exists()))
    )
    return found


@pytest.mark.parametrize("durable", [True, False])
def test_what_must_outlive_a_power_cut_is_on_disk_before_it_has_its_name(
    tmp_path: Path, synced: list[tuple[int, bool]], durable: bool
) -> None:
    write_whole(tmp_path / "rules", b"whole", durable=durable)
    assert synced == ([(5, False)] if durable else [])


def test_what_a_store_keeps_outlives_a_power_cut(tmp_path: Path, synced: list[tuple[int, bool]]) -> None:
    asyncio.run(FileStore(tmp_path / "rules").write(b"whole"))
    assert synced == [(5, False)]
