"""Boxes and lines in a terminal: a graph without circles, drawn from top to bottom in layers. Pure, and no saga in it.

Each event leaves its box at a port of its own and reaches every box that listens to it, so that a line always stands
for one event. The steps are the usual ones: layers by longest path, an order in each that avoids crossings, columns
that keep lines straight, and a track for every line that must bend. `graph` makes the boxes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from itertools import chain, pairwise
from statistics import fmean

MOST = 100  # boxes; more than that is no picture any more
GAP = 3  # columns between two boxes, so that a line passes with a blank on each side
PORTS = 4  # columns between two ports: a label, and a line beside it, can be told apart
SWEEPS = 6  # down and up, three times each: what has not come apart by then stays crossed
UP, DOWN, LEFT, RIGHT = 1, 2, 4, 8  # bits: where lines leave a cell; their sum is the place in GLYPHS
GLYPHS = dict(zip(range(16), "  ╵│ ┘┐┤ └┌├─┴┬┼", strict=False)) | {UP: "│", DOWN: "│", LEFT: "─", RIGHT: "─"}


Wires = dict[str, tuple[int, list[int]]]
"""Event -> the column where it leaves a layer, and those where it enters the next."""


@dataclass(frozen=True, kw_only=True)
class Border:
    """Two corners, side and two corners; `flat` and `port` are its level parts."""

    top: str
    bottom: str
    side: str
    flat: str
    port: str


PLAIN = Border(top="┌┐", bottom="└┘", side="│", flat="─", port="┬")
ROUND = Border(top="╭╮", bottom="╰╯", side="│", flat="─", port="┬")
DOUBLE = Border(top="╔╗", bottom="╚╝", side="║", flat="═", port="╤")


@dataclass(eq=False, kw_only=True)
class Box:
    """`outs`: the events that leave it, with their labels; `ins`: those that it listens to; `x`: its middle column.

    Without lines it is but a line that passes this layer.
    """

    lines: Sequence[str] = ()
    ins: Sequence[str] = ()
    outs: Mapping[str, str] = field(default_factory=dict)
    border: Border = PLAIN
    x: int = 0

    @property
    def half(self) -> int:
        """Columns on each side of the middle: as many on both, so that lines between middles are straight."""
        ports = [*self.outlets().values(), *self.inlets().values()]
        return max((len(max(self.lines, key=len)) + 4) // 2, *(abs(port) + 2 for port in ports)) if self.lines else 0

    def inlets(self) -> dict[str, int]:
        """Event -> the column, counted from the middle, where it comes in."""
        return {event: PORTS * i - PORTS * (len(self.ins) - 1) // 2 for i, event in enumerate(self.ins)}

    def outlets(self) -> dict[str, int]:
        """Event -> the column, counted from the middle, where it leaves. Labels stand on the right, the first left."""
        columns: dict[str, int] = {}
        column = -(PORTS // 2) if len(self.outs) > 1 else 0
        for event, label in self.outs.items():
            columns[event] = column
            column += PORTS if len(columns) == 1 else len(label) + PORTS
        return columns

    def labels(self) -> dict[str, int]:
        """Event -> the column, counted from the middle, where its label begins."""
        columns = {event: column + 2 for event, column in self.outlets().items()}
        if len(self.outs) > 1:
            first = next(iter(self.outs))
            columns[first] -= 3 + len(self.outs[first])
        return columns

    def reach(self) -> tuple[int, int]:
        """How far it and its labels extend from the middle, to the left and to the right."""
        starts = self.labels()
        ends = [start + len(self.outs[event]) for event, start in starts.items()]
        return max(self.half, *(-start for start in starts.values()), 0), max(self.half, *ends, 0)


class TangledError(Exception):
    """Lines that would have to run through one another."""


def draw(boxes: Sequence[Box], width: int) -> list[str] | None:
    """The drawing; None where it does not fit in `width` columns, or its lines cannot be told apart.

    Raises graphlib.CycleError for boxes that wait for one another.
    """
    level = levels(boxes)
    if len(boxes) > MOST:
        return None
    layers = _with_passes(boxes, level)
    _order(layers)
    _place(layers)
    left = min(box.x - box.reach()[0] for layer in layers for box in layer)
    for box in chain.from_iterable(layers):
        box.x -= left
    if max(box.x + box.reach()[1] for layer in layers for box in layer) >= width:
        return None
    try:
        return _paint(layers)
    except TangledError:
        return None


def levels(boxes: Sequence[Box]) -> list[int]:
    """The layer of each box: one below the lowest that it listens to. Raises graphlib.CycleError."""
    source = {event: index for index, box in enumerate(boxes) for event in box.outs}
    above = {index: {source[event] for event in box.ins if event in source} for index, box in enumerate(boxes)}
    level: dict[int, int] = {}
    for index in TopologicalSorter(above).static_order():
        level[index] = 1 + max((level[other] for other in above[index]), default=-1)
    return [level[index] for index in range(len(boxes))]


def _with_passes(boxes: Sequence[Box], level: Sequence[int]) -> list[list[Box]]:
    """The boxes layer by layer; an event that skips layers passes each of them in a column of its own."""
    layers: list[list[Box]] = [[] for _ in range(max(level) + 1)]
    for box, at in zip(boxes, level, strict=True):
        layers[at].append(box)
    for box, at in zip(boxes, level, strict=True):
        for event in box.outs:
            last = max((low for other, low in zip(boxes, level, strict=True) if event in other.ins), default=at)
            for layer in layers[at + 1 : last]:
                layer.append(Box(ins=(event,), outs={event: ""}))
    return layers


def _order(layers: list[list[Box]]) -> None:
    """Put each box near the middle of those it is tied to, above and below in turn."""
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        for upper, lower in pairwise(layers) if down else reversed(list(pairwise(layers))):
            fixed, free = (upper, lower) if down else (lower, upper)
            places = [
                [i for i, other in enumerate(fixed) if set(_outs(other, down)) & set(_outs(box, not down))]
                for box in free
            ]
            means = [fmean(each) if each else i for i, each in enumerate(places)]
            free[:] = [free[i] for i in sorted(range(len(free)), key=lambda i: (means[i], i))]


def _outs(box: Box, down: bool) -> Sequence[str]:
    return list(box.outs) if down else box.ins


def _place(layers: list[list[Box]]) -> None:
    """Give each box its column: as near as possible to where its lines would be straight."""
    for layer in layers:
        _spread(layer, [0.0] * len(layer))
    for sweep in range(SWEEPS + 1):
        down = sweep % 2 == 0
        for upper, lower in pairwise(layers) if down else reversed(list(pairwise(layers))):
            _sort_ports(upper, lower)
            wanted: dict[Box, list[int]] = {}
            for source, target, event in _lines(upper, lower):
                shift = source.outlets()[event] - target.inlets()[event]
                box, column = (target, source.x + shift) if down else (source, target.x - shift)
                wanted.setdefault(box, []).append(column)
            free = lower if down else upper
            _spread(free, [fmean(wanted[box]) if box in wanted else box.x for box in free])
    for upper, lower in pairwise(layers):
        _sort_ports(upper, lower)


def _lines(upper: Sequence[Box], lower: Sequence[Box]) -> list[tuple[Box, Box, str]]:
    return [(a, b, event) for a in upper for event in a.outs for b in lower if event in b.ins]


def _sort_ports(upper: Sequence[Box], lower: Sequence[Box]) -> None:
    """Ports in the order of what they lead to, or lines of one box would cross."""
    lines = _lines(upper, lower)
    above = {event: source.x + source.outlets()[event] for source, _, event in lines}
    for box in lower:
        box.ins = sorted(box.ins, key=lambda event: above.get(event, 0))
    for box in upper:
        below = {event: [b.x for a, b, e in lines if a is box and e == event] or [box.x] for event in box.outs}
        box.outs = {e: box.outs[e] for e in sorted(box.outs, key=lambda e: fmean(below[e]))}


def _spread(layer: Sequence[Box], wanted: Sequence[float]) -> None:
    """The columns nearest to the wanted ones (least squares) that keep order and distance: isotonic regression."""
    offset, offsets = 0, [0] * len(layer)
    for i, (box, after) in enumerate(pairwise(layer), start=1):
        distance = box.reach()[1] + GAP + after.reach()[0]
        offset += distance + distance % 2  # so that there is a middle between two
        offsets[i] = offset
    blocks: list[list[float]] = []
    for want, shift in zip(wanted, offsets, strict=True):
        blocks.append([want - shift])
        while len(blocks) > 1 and fmean(blocks[-2]) > fmean(blocks[-1]):
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    columns = [round(fmean(block)) for block in blocks for _ in block]
    for box, column, shift in zip(layer, columns, offsets, strict=True):
        box.x = column + shift


def _paint(layers: list[list[Box]]) -> list[str]:
    cells: dict[tuple[int, int], str] = {}
    row = 0
    for layer, below in pairwise([*layers, []]):
        height = max(len(box.lines) for box in layer)
        for box in layer:
            _paint_box(cells, box, row, height)
        row += height + 2
        row += _paint_wires(cells, _wires(layer, below), row)
    rows, columns = (1 + max(places) for places in zip(*cells, strict=True))
    return ["".join(cells.get((at, column), " ") for column in range(columns)).rstrip() for at in range(rows)]


def _paint_box(cells: dict[tuple[int, int], str], box: Box, row: int, height: int) -> None:
    if not box.lines:
        cells.update({(at, box.x): "│" for at in range(row, row + height + 3)})
        return
    border, left, inner = box.border, box.x - box.half, 2 * box.half - 1
    lines = [*box.lines, *[""] * (height - len(box.lines))]
    texts = [border.top[0] + border.flat * inner + border.top[1]]
    texts += [f"{border.side} {line.ljust(inner - 1)}{border.side}" for line in lines]
    texts += [border.bottom[0] + border.flat * inner + border.bottom[1]]
    for at, text in enumerate(texts, start=row):
        _write(cells, at, left, text)
    for column in box.inlets().values():
        cells[row, box.x + column] = "▼"
    labels = box.labels()
    for event, column in box.outlets().items():
        cells[row + height + 1, box.x + column] = border.port
        cells[row + height + 2, box.x + column] = "└" if labels[event] > column else "┘"  # unless a line goes on
        _write(cells, row + height + 2, box.x + labels[event], box.outs[event])


def _write(cells: dict[tuple[int, int], str], row: int, column: int, text: str) -> None:
    cells.update({(row, at): char for at, char in enumerate(text, start=column)})


def _wires(layer: Sequence[Box], below: Sequence[Box]) -> Wires:
    wires: Wires = {}
    for source, target, event in _lines(layer, below):
        start = source.x + source.outlets()[event]
        wires.setdefault(event, (start, []))[1].append(target.x + target.inlets()[event])
    return wires


def _paint_wires(cells: dict[tuple[int, int], str], wires: Wires, row: int) -> int:
    """Draw what is between two layers, and return its height: the row of the labels, and the tracks."""
    tracks = _tracks(wires)
    last = max(tracks.values(), default=0)
    for event, (start, ends) in wires.items():
        bits: dict[tuple[int, int], int] = {}
        turn = tracks.get(event, last)
        for column, above, under in [(start, 0, turn), *((end, turn, last) for end in ends)]:
            for at in range(above, under + 1):
                bits[at, column] = bits.get((at, column), 0) | UP * (at > above) | DOWN * (at < under)
        _join(bits, turn, [start, *ends], last)
        for (at, column), value in bits.items():
            foreign = (row + at, column) in cells and at > 0
            if not foreign or value & (UP | DOWN):  # where lines cross, the upright one is whole
                cells[row + at, column] = GLYPHS[value]
    return last + 1


def _join(bits: dict[tuple[int, int], int], turn: int, columns: Sequence[int], last: int) -> None:
    """The level part of a line, and its ends at the labels and at the boxes."""
    low, high = min(columns), max(columns)
    for column in range(low, high + 1):
        bits[turn, column] = bits.get((turn, column), 0) | LEFT * (column > low) | RIGHT * (column < high)
    bits[0, columns[0]] |= UP
    for column in columns[1:]:
        bits[last, column] |= DOWN


def _tracks(wires: Wires) -> dict[str, int]:
    """The row (from 1) in which each line that bends runs to the side; none may touch another's."""
    bent = {event: (start, ends) for event, (start, ends) in wires.items() if ends != [start]}
    above = {a: {b for b in bent if b != a and bent[b][0] in bent[a][1]} for a in bent}
    taken: list[set[int]] = []
    tracks: dict[str, int] = {}
    while waiting := [event for event in bent if event not in tracks]:
        ready = [event for event in waiting if above[event] <= tracks.keys()]
        if not ready:
            raise TangledError
        start, ends = bent[ready[0]]
        span = set(range(min(start, *ends), max(start, *ends) + 1))
        track = max((tracks[event] for event in above[ready[0]]), default=0)
        while track < len(taken) and taken[track] & span:
            track += 1
        taken += [set()] * (track >= len(taken))
        taken[track] |= span
        tracks[ready[0]] = track + 1
    return tracks
