"""What was measured, as a table, as a file, and as the one line that says whether the goals are met."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from rich.console import Console
from rich.table import Table

from sagamesh_bench.footprint import Footprint
from sagamesh_bench.load import Measured
from sagamesh_bench.retained import Retained
from sagamesh_bench.sagas import FLOOR, NAMESPACE

KEY = ("straight", 64)
"""The run that the goals speak of: so many at once that the machine is busy, and not so many that they queue."""


class BenchRun(NamedTuple):
    """One run. `namespace`: the sidecars' or the floor's."""

    saga: str
    namespace: str
    at_once: int
    measured: Measured


class Results(NamedTuple):
    """Everything of one run of the benchmark."""

    rows: list[BenchRun]
    footprint: Footprint
    retained: Retained


def middle(rows: Iterable[BenchRun]) -> BenchRun:
    """Of several runs of the same, the one with the median throughput."""
    ordered = sorted(rows, key=lambda row: row.measured.sagas_per_second)
    return ordered[len(ordered) // 2]


def summary(results: Results) -> dict[str, float]:
    """The figures that the goals speak of: straight sagas, 64 at once."""
    relay = _of(results, *KEY, NAMESPACE).measured
    floor = _of(results, *KEY, FLOOR).measured
    return {
        "sagas_per_second": round(relay.sagas_per_second, 1),
        "floor_share": round(relay.sagas_per_second / floor.sagas_per_second, 3),
        "p50_ms": round(relay.p50 * 1000, 2),
        "p99_ms": round(relay.p99 * 1000, 2),
        "cpu_ms_per_saga": round(relay.cpu_ms, 2),
        "rss_idle_mib": round(results.footprint.rss, 1),
        "ready_s": round(results.footprint.ready, 2),
        "latency_at_1m_ratio": round(results.retained.ratio, 2),
    }


def _of(results: Results, saga: str, at_once: int, namespace: str) -> BenchRun:
    return next(row for row in results.rows if row[:3] == (saga, namespace, at_once))


def show(results: Results, console: Console) -> None:
    """A line for each run of the sidecars, with the floor's beside it."""
    table = Table(title="completed sagas, real NATS (synced, R1), real HTTP, one sidecar process each", title_style="")
    for heading in (
        "saga",
        "at once",
        "sagas/s",
        "floor",
        "share",
        "p50 ms",
        "p99 ms",
        "floor p50",
        "CPU ms/saga",
        "floor CPU",
    ):
        table.add_column(heading, justify="left" if heading == "saga" else "right")
    for row in results.rows:
        if row.namespace == NAMESPACE:
            table.add_row(
                row.saga, str(row.at_once), *_cells(row.measured, _of(results, row.saga, row.at_once, FLOOR).measured)
            )
    console.print(table)
    cpu = _of(results, *KEY, NAMESPACE).measured.cpu
    console.print("CPU ms for each of them, 64 at once: " + ", ".join(f"{k} {1000 * v:.2f}" for k, v in cpu.items()))
    console.print(f"idle sidecar: {results.footprint.rss:.1f} MiB, ready after {results.footprint.ready:.2f} s")
    empty, full = (1000 * seconds for seconds in results.retained)
    console.print(f"p50 with a million registers retained: {full:.2f} ms, on an empty stream: {empty:.2f} ms")


def _cells(relay: Measured, floor: Measured) -> Iterable[str]:
    yield f"{relay.sagas_per_second:.0f}"
    yield f"{floor.sagas_per_second:.0f}"
    yield f"{relay.sagas_per_second / floor.sagas_per_second:.2f}"
    yield f"{relay.p50 * 1000:.1f}"
    yield f"{relay.p99 * 1000:.1f}"
    yield f"{floor.p50 * 1000:.1f}"
    yield f"{relay.cpu_ms:.2f}"
    yield f"{floor.cpu_ms:.2f}"


def save(results: Results, directory: Path) -> Path:
    """All of it, as JSON, in a file of its own."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / time.strftime("%Y-%m-%dT%H-%M-%S.json", time.gmtime())
    document: dict[str, Any] = {
        "summary": summary(results),
        "runs": [
            {"saga": r.saga, "of": r.namespace, "at_once": r.at_once, **r.measured._asdict()} for r in results.rows
        ],
        "retained": results.retained._asdict(),
    }
    path.write_bytes(msgspec.json.format(msgspec.json.encode(document)))
    return path
