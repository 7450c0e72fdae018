"""`sagamesh graph`: a saga as a picture, forward and back. Which line goes where is for `drawing`, its neighbour."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from graphlib import CycleError
from itertools import chain
from shutil import get_terminal_size
from textwrap import wrap
from typing import Annotated, Any, NamedTuple

import typer

from sagamesh.language.graph import all_inputs, downstream, order, successors
from sagamesh.language.model import Saga, Step
from sagamesh_cli import saga_files
from sagamesh_cli.output import OutputFormat, plain, show, table
from sagamesh_cli.views import drawing
from sagamesh_cli.views.drawing import Box

KINDS = {
    "pivot": ("◆", "no way back after it"),
    "compensable": ("↩", "can be undone"),
    "readOnly": ("○", "nothing to undo"),
    "retriable": ("↻", "retried until it succeeds"),
    "unguarded": ("!", "cannot be undone, which `sagamesh check` refuses"),
}
LEAST_ROOM = 20
"""Columns for what an undo comes after, however narrow the terminal is."""
CONDITION = ("?", "only if its condition holds")


class GraphFormat(StrEnum):
    """What `-o` chooses from."""

    TEXT = "text"
    MERMAID = "mermaid"
    JSON = "json"


class Undo(NamedTuple):
    """A step of the way back. `turn` counts from 1; `after` names the steps that must have been undone before."""

    turn: int
    step: Step
    path: str
    after: tuple[str, ...]


def graph(
    file: Annotated[str, typer.Argument(help="A file with sagas, or - for standard input.", metavar="FILE")],
    output: Annotated[GraphFormat, typer.Option("-o", "--output", help="How to show it.")] = GraphFormat.TEXT,
) -> None:
    """Draw a saga: its steps in their order, and the way back."""
    sagas = saga_files.load(file)
    for saga in sagas:
        _refuse_circles(file, saga)
    if output is GraphFormat.JSON:
        show({"sagas": [outline(saga) for saga in sagas]}, OutputFormat.JSON)
    elif output is GraphFormat.MERMAID:
        typer.echo("\n\n".join(plain(mermaid(saga)) for saga in sagas))
    else:
        typer.echo("\n\n".join(plain(text(saga, get_terminal_size().columns)) for saga in sagas))


def _refuse_circles(file: str, saga: Saga) -> None:
    try:
        order(saga)
    except CycleError as error:
        message = f"in saga {saga.name} these steps wait for one another: {' -> '.join(error.args[1])}"
        raise saga_files.BadFile(saga_files.shown(file), None, message) from None


def kinds(saga: Saga) -> dict[str, str]:
    """How each step relates to the way back: step -> a key of KINDS."""
    forward = downstream(saga, saga.pivot.name) if saga.pivot else frozenset()
    return {step.name: "retriable" if step.name in forward else _kind(step) for step in saga.steps}


def _kind(step: Step) -> str:
    if step.pivot:
        return "pivot"
    if step.compensation:
        return "compensable"
    return "readOnly" if step.read_only else "unguarded"


def way_back(saga: Saga) -> tuple[Undo, ...]:
    """What is undone when all of it was done, and in which order."""
    steps, kind = in_order(saga), kinds(saga)
    undone = {step.name for step in steps if kind[step.name] == "compensable"}
    followers = successors(saga)
    awaited: dict[str, tuple[str, ...]] = {}
    found: dict[str, Undo] = {}
    for step in reversed(steps):
        nearest = [[name] if name in undone else awaited[name] for name in followers[step.name]]
        awaited[step.name] = tuple(dict.fromkeys(chain.from_iterable(nearest)))
        if step.compensation and step.name in undone:
            after = awaited[step.name] if saga.compensation_order == "reverse" else ()
            turn = 1 + max((found[name].turn for name in after), default=0)
            found[step.name] = Undo(turn, step, step.compensation.path, after)
    return tuple(sorted((found[step.name] for step in saga.steps if step.name in found), key=lambda undo: undo.turn))


def in_order(saga: Saga) -> list[Step]:
    """The steps, none before one that it listens to. Raises graphlib.CycleError."""
    levels = drawing.levels(boxes(saga))[1:]
    return [saga.steps[index] for index in sorted(range(len(levels)), key=lambda index: levels[index])]


def text(saga: Saga, width: int) -> str:
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
    titles, heard = _titles(saga), all_inputs(saga)
    return [start, *(_box(step, titles[step.name], chain(*heard[step.name].values())) for step in saga.steps)]


def _box(step: Step, title: str, ins: Iterable[str]) -> Box:
    lines = [title, f"  {step.participant}"]
    if len(step.on) > 1:
        lines.append(f"  on {step.join} of {len(step.on)}")
    border = drawing.DOUBLE if step.pivot else drawing.PLAIN
    return Box(lines=lines, ins=list(ins), outs=_announced(step), border=border)


def _titles(saga: Saga) -> dict[str, str]:
    kind = kinds(saga)
    return {s.name: f"{KINDS[kind[s.name]][0]} {s.name}" + (f" {CONDITION[0]}" if s.when else "") for s in saga.steps}


def _announced(step: Step) -> dict[str, str]:
    return {emit.event: f"{emit.event} {CONDITION[0]}" if emit.when else emit.event for emit in step.emits}


def listing(saga: Saga) -> list[str]:
    """The steps as a list: what the drawing shows, in any width."""
    titles = _titles(saga)
    rows = [("STEP", "PARTICIPANT", "ON", "EMITS")]
    rows += [("▷ start", saga.start.participant, "", saga.start.event)]
    for step in in_order(saga):
        on = (" or " if step.join == "any" else " and ").join(step.on)
        rows.append((titles[step.name], step.participant, on, " or ".join(_announced(step).values())))
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


def outline(saga: Saga) -> dict[str, Any]:
    """The same for a program."""
    kind, heard = kinds(saga), all_inputs(saga)
    return {
        "namespace": saga.namespace,
        "saga": saga.name,
        "start": {"participant": saga.start.participant, "event": saga.start.event},
        "steps": [
            {
                "name": step.name,
                "participant": step.participant,
                "kind": kind[step.name],
                "on": list(step.on),
                "join": step.join,
                "after": list(heard[step.name]),
                "emits": [emit.event for emit in step.emits],
            }
            for step in saga.steps
        ],
        "wayBack": [
            {"turn": undo.turn, "step": undo.step.name, "path": undo.path, "after": list(undo.after)}
            for undo in way_back(saga)
        ],
    }


def mermaid(saga: Saga) -> str:
    """A flowchart for Markdown: participants around their steps, events on the arrows, the way back dotted."""
    ids = {"_": "start", **{step.name: f"s{index}" for index, step in enumerate(saga.steps, start=1)}}
    titles, heard = _titles(saga), all_inputs(saga)
    lines = ["flowchart TB", f"  start([{_quoted(f'start by {saga.start.participant}')}])"]
    for index, name in enumerate(dict.fromkeys(step.participant for step in saga.steps), start=1):
        lines += [f"  subgraph p{index}[{_quoted(name)}]"]
        lines += [f"    {_node(ids[s.name], s, titles[s.name])}" for s in saga.steps if s.participant == name]
        lines += ["  end"]
    for step in saga.steps:
        for source, events in heard[step.name].items():
            lines += [f"  {ids[source]} -->|{_quoted(event)}| {ids[step.name]}" for event in events]
    lines += _dotted(saga, ids)
    if saga.pivot:
        lines += ["  classDef pivot stroke-width:4px", f"  class {ids[saga.pivot.name]} pivot"]
    return "\n".join(lines)


def _node(name: str, step: Step, title: str) -> str:
    return f"{name}{{{{{_quoted(title)}}}}}" if step.pivot else f"{name}[{_quoted(title)}]"


def _dotted(saga: Saga, ids: dict[str, str]) -> list[str]:
    """From each undone step to those undone next; the first ones come from the pivot, or from `aborted`."""
    first = ids[saga.pivot.name] if saga.pivot else "aborted"
    lines = []
    for undo in way_back(saga):
        sources = [ids[name] for name in undo.after] or [first]
        lines += [f"  {source} -.->|{_quoted(undo.path)}| {ids[undo.step.name]}" for source in sources]
    return ["  aborted([aborted])", *lines] if lines and not saga.pivot else lines


def _quoted(label: str) -> str:
    return '"' + label.replace("#", "#35;").replace('"', "#quot;") + '"'
