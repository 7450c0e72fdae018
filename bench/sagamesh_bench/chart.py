"""The picture in docs/performance.md: throughput and latency by how many sagas run at once."""

from __future__ import annotations

from pathlib import Path

from sagamesh_bench.report import Results
from sagamesh_bench.sagas import FLOOR, NAMESPACE

LABELS = {NAMESPACE: "Sagamesh", FLOOR: "floor: the same I/O without rules"}


def draw(results: Results, path: Path) -> None:
    """Write it as SVG. matplotlib is there for this alone, and so is imported here."""
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "sagamesh"  # the same figures, the same file
    from matplotlib import pyplot  # noqa: PLC0415

    figure, (speed, latency) = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for namespace, style in ((NAMESPACE, "o-"), (FLOOR, "s--")):
        rows = [row for row in results.rows if row.saga == "straight" and row.namespace == namespace]
        at_once = [row.at_once for row in rows]
        speed.plot(at_once, [row.measured.sagas_per_second for row in rows], style, label=LABELS[namespace])
        latency.plot(at_once, [row.measured.p50 * 1000 for row in rows], style, label=LABELS[namespace])
    for axes, title in ((speed, "completed sagas per second"), (latency, "from start to finish, p50 in ms")):
        axes.set_xscale("log", base=2)
        axes.set_xticks(at_once, [str(number) for number in at_once])
        axes.set_ylim(bottom=0)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("sagas of three steps at once")
        axes.grid(alpha=0.3)
    speed.legend(fontsize=8)
    figure.savefig(path, metadata={"Date": None})
