"""A saga as a picture in the terminal: its steps in their order, what the marks mean, and the way back. Pure.

Which line goes where is for `drawing`; what there is to draw is in `saga_outline`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from textwrap import wrap

from sagamesh.language.graph import all_inputs
from sagamesh.language.model import Saga, Step
from sagamesh_cli.output import table
from sagamesh_cli.views import drawing
from sagamesh_cli.views.drawing import Box
from sagamesh_cli.views.saga_outline import CONDITION, KINDS, Undo, announced, in_order, kinds, titles, way_back

LEAST_ROOM = 20
"""Columns for what an undo comes after, however narrow the terminal is: a name of a step fits."""


def picture(saga: Saga, width: int) -> str:
    """For the terminal: the drawing, or a list where that would not fit, what the marks mean, and the way back."""
    margin = "  "
    drawn = drawing.draw(boxes(saga), width - len(margin)) or listing(saga)
    forward = "\n".join((margin + line).rstrip() for line in drawn)
    return "\n\n".join([f"{saga.namespace}/{saga.name}", forward, _legend(saga), _back(saga, width)])


def boxes(saga: Saga) -> list[Box]:
    """The start, and each step in the order of the definition."""
    start = Box(
        lines=[f"start by {saga.start.participant}"],
        outs={saga.start.event: saga.start.event},
        border=drawing.ROUND,
    )
    title, heard = titles(saga), all_inputs(saga)
    return [start, *(_box(step, title[step.name], chain(*heard[step.name].values())) for step in saga.steps)]


def _box(step: Step, title: str, ins: Iterable[str]) -> Box:
    lines = [title, f"  {step.participant}"]
    if len(step.after) > 1:
        lines.append(f"  after {step.join} of {len(step.after)}")
    border = drawing.DOUBLE if step.pivot else drawing.PLAIN
    return Box(lines=lines, ins=list(ins), outs=announced(step), border=border)


def listing(saga: Saga) -> list[str]:
    """The steps as a list: what the drawing shows, in any width."""
    title = titles(saga)
    rows = [("STEP", "PARTICIPANT", "AFTER", "EMITS")]
    rows += [("▷ start", saga.start.participant, "", saga.start.event)]
    for step in in_order(saga):
        after = (" or " if step.join == "any" else " and ").join(step.after)
        rows.append((title[step.name], step.participant, after, " or ".join(announced(step).values())))
    return table(rows)


def _legend(saga: Saga) -> str:
    used = set(kinds(saga).values())
    marks = [KINDS[name] for name in KINDS if name in used]
    if any(step.when or any(emit.when for emit in step.emits) for step in saga.steps):
        marks.append(CONDITION)
    return "\n".join(f"  {mark} {meaning}" for mark, meaning in marks)


def _back(saga: Saga, width: int) -> str:
    undos = way_back(saga)
    order = "all at once" if saga.compensation_order == "parallel" else "each step once what came after it is undone"
    lines = [f"The way back: {order}" if undos else "The way back: there is nothing to undo"]
    if undos:
        lines += _turns(undos, width)
    if saga.pivot:
        rest = [name for name, kind in kinds(saga).items() if kind == "retriable"]
        end = f"{', '.join(rest)} will be retried until done." if rest else "the saga is done."
        lines += [
            "",
            *wrap(f"Once {saga.pivot.name} succeeds there is no way back: {end}", width, break_on_hyphens=False),
        ]
    return "\n".join(lines)


def _turns(undos: Sequence[Undo], width: int) -> list[str]:
    """A row each. What it comes after is broken into several lines where it would not fit."""
    heads = [(f"  {undo.turn}.", undo.step.name, undo.step.participant, undo.path) for undo in undos]
    room = max(LEAST_ROOM, width - max(map(len, table([(*head, "|") for head in heads]))) + 1)
    rows: list[tuple[str, ...]] = []
    for head, undo in zip(heads, undos, strict=True):
        after = f"after {', '.join(undo.after)}" if undo.after else ""
        first, *more = wrap(after, room, subsequent_indent=" " * len("after "), break_on_hyphens=False) or [""]
        rows += [(*head, first), *(("",) * len(head) + (line,) for line in more)]
    return table(rows)
