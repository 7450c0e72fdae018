"""`make bench` and `make soak`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from msgspec import json
from rich.console import Console

from sagamesh_bench import chart, report, soak
from sagamesh_bench.footprint import footprint
from sagamesh_bench.load import measure
from sagamesh_bench.report import BenchRun, Results
from sagamesh_bench.retained import MILLION, retained
from sagamesh_bench.rig import Rig, rig
from sagamesh_bench.sagas import FLOOR, NAMESPACE, SHAPES
from sagamesh_bench.script import counts, record

AT_ONCE = (1, 16, 64, 256)
"""Sagas at once: one alone, then by fours until more of them only wait for one another."""
ROUNDS = 5
"""Runs of what the goals speak of, so that the middle one is neither lucky nor unlucky; of the others there is one."""
RESULTS = Path(__file__).parents[1] / "results"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help="How fast Sagamesh runs on this machine.")


@app.command()
def bench(
    svg: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw throughput and latency.")] = None,
    seconds: Annotated[float, typer.Option(help="Of each run.")] = 4.0,
    messages: Annotated[int, typer.Option(help="How many registers are retained.")] = MILLION,
) -> None:
    """Measure; the last line is one JSON object with the figures that the goals speak of."""
    console = Console(width=120)
    for name, shape in SHAPES.items():
        console.print(f"{name}: {counts(record(shape))} for each saga", highlight=False)
    results = uvloop.run(_bench(seconds, messages, console))
    report.show(results, console)
    console.print(f"all of it: {report.save(results, RESULTS)}")
    if svg is not None:
        chart.draw(results, svg)
    typer.echo(json.encode(report.summary(results)))


@app.command("soak")
def soak_(
    minutes: Annotated[float, typer.Option(help="How long.")] = 10.0,
    rate: Annotated[float, typer.Option(help="Sagas a second.")] = 100.0,
) -> None:
    """Run sagas at a steady rate, with a sidecar and the server killed in the middle."""
    wrong = uvloop.run(soak.soak(minutes, rate, typer.echo))
    for sentence in wrong:
        typer.echo(f"WRONG: {sentence}")
    typer.echo("nothing is stuck, the books balance, memory is flat" if not wrong else "the soak failed")
    raise typer.Exit(1 if wrong else 0)


async def _bench(seconds: float, messages: int, console: Console) -> Results:
    with tempfile.TemporaryDirectory(prefix="sagamesh-bench-") as name, console.status("") as status:
        directory = Path(name)
        async with rig(directory) as built:
            status.update("an idle sidecar")
            idle = await footprint(built)
            rows = []
            for saga in SHAPES:
                for at_once in AT_ONCE:
                    status.update(f"{saga}, {at_once} at once")
                    rows += await _pair(built, saga, at_once, seconds)
        status.update(f"{messages} registers retained")
        return Results(rows, idle, await retained(directory, messages))


async def _pair(built: Rig, saga: str, at_once: int, seconds: float) -> list[BenchRun]:
    """Sidecars and floor in turn, so that a machine that is slow for a while is slow for both."""
    runs: dict[str, list[BenchRun]] = {NAMESPACE: [], FLOOR: []}
    for _ in range(ROUNDS if (saga, at_once) == report.KEY else 1):
        for namespace, of in runs.items():
            of.append(
                BenchRun(saga, namespace, at_once, await measure(built, namespace, saga, at_once, seconds=seconds))
            )
    return [report.middle(of) for of in runs.values()]


if __name__ == "__main__":
    app()
