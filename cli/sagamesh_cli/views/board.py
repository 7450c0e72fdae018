"""The demo's board: each instance a row, each step a cell, moving as registers come. Plain lines without a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sagamesh.log.registers import Instance, Register
from sagamesh.protocol.view.instance import View, finished, view
from sagamesh.protocol.view.steps import StepState
from sagamesh.rules.local import LocalRules

ROWS = 18
"""Instances that are shown at once: with heading and news they fill a terminal of 24 lines."""
CELLS: dict[StepState, tuple[str, str]] = {
    "waiting": ("·", "dim"),
    "started": ("▶", "blue"),
    "done": ("✔", "green"),
    "skipped": ("-", "dim"),
    "dead": ("-", "dim"),
    "failed": ("✘", "red"),
    "cancelled": ("-", "dim"),
    "compensating": ("↩", "yellow"),
    "compensated": ("↩", "yellow"),
}
STATES = {"running": "blue", "aborting": "yellow", "completed": "green", "compensated": "yellow"}


class Board:
    """What is known of the instances of one saga. `heard` takes registers as they are written."""

    def __init__(self, rules: LocalRules, console: Console) -> None:
        self.rules = rules
        self.console = console
        self.registers: dict[Instance, dict[int, Register]] = {}
        self.news: list[str] = []
        self._ended: set[str] = set()
        self._live: Live | None = None
        self._began = monotonic()

    def heard(self, instance: Instance, register: Register) -> None:
        known = self.registers.get(instance, {})
        self.registers[instance] = known | {register.sequence: register}  # whole: another thread draws it
        shown = self.view(instance)
        if finished(shown) and instance.id not in self._ended:
            self._ended.add(instance.id)
            if not self.console.is_terminal:
                self.console.print(self._line(shown), highlight=False)

    def tell(self, news: str) -> None:
        """Something that happened to the machinery."""
        self.news.append(f"{monotonic() - self._began:5.1f} s  {news}")
        if not self.console.is_terminal:
            self.console.print(self.news[-1], highlight=False, markup=False)

    def view(self, instance: Instance) -> View:
        known = list(self.registers[instance].values())
        return view(instance, known, self.rules, max(register.time for register in known))

    def views(self) -> list[View]:
        return [self.view(instance) for instance in list(self.registers)]

    @contextmanager
    def showing(self) -> Iterator[None]:
        """Draw it, eight times a second, where there is a terminal."""
        if not self.console.is_terminal:
            yield
            return
        with Live(console=self.console, refresh_per_second=8, get_renderable=self.render) as self._live:
            yield

    def render(self) -> Group:
        """The newest rows, those that still move first, and the news below."""
        views = self.views()[::-1]
        rows = sorted(views, key=finished)[:ROWS]
        table = Table(box=None, padding=(0, 1), header_style="bold")
        table.add_column("instance", no_wrap=True)
        for step in self.rules.outline:
            table.add_column(step.replace("-", "-\n"), justify="center", no_wrap=True)
        table.add_column("state", no_wrap=True)
        for shown in sorted(rows, key=lambda shown: shown.id):
            cells = [Text(*CELLS[step.state]) for step in shown.steps]
            table.add_row(shown.id, *cells, Text(shown.state, STATES[shown.state]), end_section=False)
        ended = sum(map(finished, views))
        return Group(table, Text(f"{len(views)} started, {ended} finished", "bold"), Text("\n".join(self.news), "dim"))

    def _line(self, shown: View) -> str:
        steps = "".join(CELLS[step.state][0] for step in shown.steps)
        cause = shown.cause
        why = f"  ({cause.step}: {cause.reason})" if cause else ""
        return f"{shown.id:8}  {steps}  {shown.state}{why}"
