"""`sagamesh demo`: example 02 on this machine, with crashes. Fifty orders, four services, four sidecars, one server.

The kitchen is killed with -9 in the middle and started again; so is the sidecar of accounting. At the end every order
must be finished, and the books of the services must agree.
"""

from __future__ import annotations

import asyncio
import io
import random
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from rich.console import Console
from rich.table import Table

from sagamesh.protocol.view.instance import finished
from sagamesh.rules.projection import project
from sagamesh_cli.client import send
from sagamesh_cli.errors import EnvironmentFault
from sagamesh_cli.local.example_services import ExampleService, books, example, serving
from sagamesh_cli.local.mesh import LocalMesh, MeshOptions, participants_of, read_sagas, running
from sagamesh_cli.local.sidecars import ProcessMember
from sagamesh_cli.local.signals import interruptible
from sagamesh_cli.views.board import Board

EXAMPLE = "02-create-order"
PACE = 0.15
"""Seconds between two orders: fifty take as long as one cares to look."""
SERVICE_DIES, SIDECAR_DIES = 0.25, 0.6
"""When, as shares of the time in which orders come in: each in the middle of some."""
DOWN = 2.0
"""Seconds that the service is gone: longer than the first retries."""
PATIENCE = 120.0
"""Seconds after which what is not finished counts as stuck: four times as long as all of it takes."""

# `printerJams`: so often the kitchen's printer fails, and a step after the pivot is called again
KINDS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("fine", {}),
    ("fine", {}),
    ("fine", {}),
    ("fine", {"printerJams": 2}),  # retried after the pivot until it is done
    ("refused at once", {"consumerId": "mallory"}),
    ("refused after one step", {"restaurantId": "ratskeller"}),
    ("refused after three steps", {"card": "4000000000000002"}),
)


def demo(
    orders: Annotated[int, typer.Option(min=1, max=10_000, help="How many orders.")] = 50,
    seed: Annotated[int, typer.Option(help="Which orders.")] = 7,
    svg: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the last screen as a picture.")] = None,
) -> None:
    """Run example 02: orders over four services, with a service and a sidecar killed in the middle."""
    console = Console()
    if svg is not None and not svg.parent.is_dir():
        raise EnvironmentFault(f"--svg {svg} cannot be written: there is no such directory")
    ended = interruptible(Demo(console, orders, seed).run())
    console.print(ended.table)
    for sentence in ended.discrepancies:
        console.print(sentence, style="red", markup=False)
    console.print("Next: sagamesh graph examples/02-create-order/saga.yaml, or the tour in README.md")
    if svg is not None:
        _picture(svg, ended)
    raise typer.Exit(0 if ended.well else 1)


class DemoEnd(NamedTuple):
    """How a run ended: the last state of the board, the closing table, what is wrong with the books."""

    board: Board
    table: Table
    stuck: int
    discrepancies: list[str]

    @property
    def well(self) -> bool:
        return not self.stuck and not self.discrepancies


def _picture(path: Path, ended: DemoEnd) -> None:
    screen = Console(
        record=True, file=io.StringIO(), width=96, height=40, force_terminal=True, color_system="truecolor"
    )
    screen.print(ended.board.render(), ended.table)
    try:
        screen.save_svg(str(path), title="sagamesh demo")
    except OSError as error:
        raise EnvironmentFault(f"--svg {path} cannot be written: {error.strerror}") from error


class Demo:
    """One run."""

    def __init__(self, console: Console, orders: int, seed: int) -> None:
        self.console = console
        self.orders = _orders(orders, random.Random(seed))
        self.folder = example(EXAMPLE)
        self.file = str(self.folder / "saga.yaml")
        self.sagas = read_sagas([self.file])

    async def run(self) -> DemoEnd:
        with tempfile.TemporaryDirectory(prefix="sagamesh-demo-", ignore_cleanup_errors=True) as name:
            directory = Path(name)
            async with AsyncExitStack() as stack:
                names = participants_of(self.sagas)
                services = await stack.enter_async_context(serving(self.folder, names, directory))
                options = MeshOptions(
                    files=[self.file],
                    apps={service.name: service.url for service in services.values()},
                    state=directory,
                    processes=True,
                )
                board = Board(next(iter(project(self.sagas[0]).values())), self.console)
                mesh = await stack.enter_async_context(running(options, self.sagas, board.heard, board.tell))
                with board.showing():
                    await self._play(mesh, services, board)
            return self._conclude(board, books(self.folder)(directory))

    async def _play(self, mesh: LocalMesh, services: dict[str, ExampleService], board: Board) -> None:
        """Orders come in; two processes die; then wait until everything is finished."""
        start = self.sagas[0].start
        api = mesh.urls[start.participant].api
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._crash_service(services["kitchen"], board))
                group.create_task(self._crash_sidecar(mesh.members["accounting"], board))
                for order in self.orders:
                    group.create_task(send(api, start.event, order["orderId"], order))
                    await asyncio.sleep(PACE)
        except ExceptionGroup as faults:
            raise faults.exceptions[0] from None
        try:
            async with asyncio.timeout(PATIENCE):
                while sum(map(finished, board.views())) < len(self.orders):
                    await asyncio.sleep(0.1)
        except TimeoutError:
            board.tell(f"not everything has finished within {PATIENCE:g} s")

    async def _crash_service(self, kitchen: ExampleService, board: Board) -> None:
        await asyncio.sleep(len(self.orders) * PACE * SERVICE_DIES)
        status = await kitchen.kill()
        board.tell(f"kill -9: the kitchen's service is gone (exit status {status})")
        await asyncio.sleep(DOWN)
        await kitchen.start()
        board.tell("the kitchen's service is back")

    async def _crash_sidecar(self, member: Any, board: Board) -> None:
        assert isinstance(member, ProcessMember)
        await asyncio.sleep(len(self.orders) * PACE * SIDECAR_DIES)
        status = await member.kill()
        board.tell(f"kill -9: the sidecar of accounting is gone (exit status {status})")
        await member.revived()
        board.tell("the sidecar of accounting is back")

    def _conclude(self, board: Board, discrepancies: list[str]) -> DemoEnd:
        states = [view.state for view in board.views()]
        completed, compensated = states.count("completed"), states.count("compensated")
        finished_ones = completed + compensated
        table = Table(title=f"{finished_ones} of {len(self.orders)} orders finished", title_style="bold")
        for heading in ("completed", "compensated", "stuck", "books"):
            table.add_column(heading, justify="right")
        stuck = len(self.orders) - finished_ones
        balance = "[green]balanced[/]" if not discrepancies else f"[red]{len(discrepancies)} discrepancies[/]"
        table.add_row(str(completed), str(compensated), str(stuck), balance)
        return DemoEnd(board, table, stuck, discrepancies)


def _orders(number: int, rng: random.Random) -> list[dict[str, Any]]:
    """The orders, some of each kind, in random order."""
    kinds = [KINDS[n % len(KINDS)][1] for n in range(number)]
    rng.shuffle(kinds)
    plain = {"restaurantId": "ajanta", "dishes": ["dal"], "card": "4111111111111111"}
    return [
        {"orderId": f"o-{n + 1}", "consumerId": rng.choice(("alice", "bob")), "total": rng.randrange(5, 90)}
        | plain
        | kind
        for n, kind in enumerate(kinds)
    ]
