"""The copy of the rules on disk: what is wrong with it is told, and nothing else comes of it."""

from __future__ import annotations

import asyncio
import hashlib
import logging

import pytest

from sagamesh_sidecar.adapters.memory import MemoryStore
from sagamesh_sidecar.rules import cache
from sagamesh_sidecar.rules.cache import RulesCache
from support.fakes.mesh import scenario

ENTRIES = {"$KV.sagamesh-rules.shop.orders.checkout.active": b"5f0c9a1e77", "$KV.x": b'{"caf\xc3\xa9":1}'}
FILE = cache.encode("shop", "orders", ENTRIES)


def of(store: MemoryStore, participant: str = "orders") -> RulesCache:
    return RulesCache("shop", participant, store, lambda: ENTRIES)


def test_what_was_kept_is_found_again() -> None:
    assert asyncio.run(of(MemoryStore(FILE)).load()) == ENTRIES


def test_nothing_was_kept_yet(caplog: pytest.LogCaptureFixture) -> None:
    assert asyncio.run(of(MemoryStore()).load()) == {}
    assert caplog.records == []


def signed(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest().encode() + b"\n" + body


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (b"", "damaged"),
        (FILE[:-1], "damaged"),
        (FILE.replace(b"5f0c9a1e77", b"5f0c9a1e78"), "damaged"),
        (signed(b"[]"), "Expected `object`"),
        (signed(b'{"x":' + b"[" * 100_000), "recursion"),
        (signed(FILE.partition(b"\n")[2].replace(b'"format":1', b'"format":2')), "format 2"),
        (cache.encode("bar", "orders", ENTRIES), "belongs to orders in bar"),
        (cache.encode("shop", "kitchen", ENTRIES), "belongs to kitchen in shop"),
    ],
    ids=range(8),
)
def test_what_cannot_be_used_is_told(file: bytes, reason: str, caplog: pytest.LogCaptureFixture) -> None:
    assert asyncio.run(of(MemoryStore(file)).load()) == {}
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    # F35: a damaged copy on disk, counts as none, and the log says why
    assert reason in record.reason


@scenario
async def test_a_burst_of_changes_is_written_once():
    store = MemoryStore()
    copy = of(store)
    writing = asyncio.create_task(copy.run())
    for _ in range(5):
        copy.changed()
        await asyncio.sleep(0)
    while not store.writes:
        await asyncio.sleep(0.01)
    assert (store.body, store.writes) == (FILE, 1)
    writing.cancel()


def test_a_disk_that_takes_nothing_is_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(cache, "COALESCE", 0.0)
    monkeypatch.setattr(cache, "RETRY", 0.01)

    async def play() -> None:
        store = MemoryStore()
        tried = 0

        def entries() -> dict[str, bytes]:
            nonlocal tried
            tried += 1
            return ENTRIES

        store.full = True
        copy = RulesCache("shop", "orders", store, entries)
        writing = asyncio.create_task(copy.run())
        copy.changed()
        async with asyncio.timeout(10):
            while tried < 3:
                await asyncio.sleep(0.005)
            store.full = False
            while not store.writes:
                await asyncio.sleep(0.005)
        writing.cancel()

    asyncio.run(play())
    assert [record.message for record in caplog.records] == ["the rules cannot be kept on disk"]
