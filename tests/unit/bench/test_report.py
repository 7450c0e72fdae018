"""What the benchmark prints, saves and draws, from figures that are made up."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from sagamesh_bench import chart, report
from sagamesh_bench.footprint import Footprint
from sagamesh_bench.load import Measured, quantile
from sagamesh_bench.report import BenchRun, Results
from sagamesh_bench.retained import Retained
from sagamesh_bench.sagas import FLOOR, NAMESPACE, SHAPES
from sagamesh_bench.script import Counts, counts, record


def measured(speed: float) -> Measured:
    return Measured(speed, 64 / speed, 128 / speed, {"sidecars": 0.002, "server": 0.001})


ROWS = [
    BenchRun(saga, namespace, at_once, measured(speed))
    for saga in SHAPES
    for at_once in (1, 16, 64, 256)
    for namespace, speed in ((NAMESPACE, 400.0), (FLOOR, 500.0))
]
RESULTS = Results(ROWS, Footprint(42.34, 0.567), Retained(0.010, 0.011))
SUMMARY = {
    "sagas_per_second": 400.0,
    "floor_share": 0.8,
    "p50_ms": 160.0,
    "p99_ms": 320.0,
    "cpu_ms_per_saga": 3.0,
    "rss_idle_mib": 42.3,
    "ready_s": 0.57,
    "latency_at_1m_ratio": 1.1,
}


def test_the_figures_that_the_goals_speak_of() -> None:
    assert report.summary(RESULTS) == SUMMARY


def test_everything_is_shown_and_saved(tmp_path: Path) -> None:
    console = Console(width=120, record=True)
    report.show(RESULTS, console)
    shown = console.export_text()
    assert shown.count("0.80") == len(ROWS) // 2
    assert "idle sidecar: 42.3 MiB, ready after 0.57 s" in shown
    saved = json.loads(report.save(RESULTS, tmp_path / "results").read_bytes())
    assert saved["summary"] == SUMMARY
    assert len(saved["runs"]) == len(ROWS)


def test_the_run_in_the_middle() -> None:
    rows = [BenchRun("straight", NAMESPACE, 64, measured(speed)) for speed in (300, 100, 200)]
    assert report.middle(rows).measured.sagas_per_second == 200
    assert (quantile([1, 2, 3], 0.5), quantile([1, 2, 3], 0.99)) == (2, 3)


def test_the_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="only `make bench` needs it")
    chart.draw(RESULTS, tmp_path / "a.svg")
    first = (tmp_path / "a.svg").read_text()
    assert "<svg" in first
    chart.draw(RESULTS, tmp_path / "b.svg")
    assert (tmp_path / "b.svg").read_text() == first


def test_what_a_saga_costs() -> None:
    """As counted from the decision in test_cost."""
    assert {name: counts(record(shape)) for name, shape in SHAPES.items()} == {
        "straight": Counts(writes=7, reads=0, deliveries=3, calls=3),
        "diamond": Counts(writes=10, reads=2, deliveries=5, calls=4),
        "undone": Counts(writes=13, reads=8, deliveries=8, calls=6),
        "meal": Counts(writes=10, reads=0, deliveries=6, calls=6),
        "declined": Counts(writes=12, reads=6, deliveries=9, calls=6),
    }
