"""Boxes and lines: every line stands for one event, and what cannot be drawn so is not drawn."""

import random
import re
from collections.abc import Sequence
from graphlib import CycleError

import pytest

from sagamesh_cli.views.drawing import DOUBLE, ROUND, Box, draw, levels


def box(name: str, ins: str = "", outs: str = "") -> Box:
    return Box(lines=[name], ins=ins.split(), outs={event: event for event in outs.split()})


def drawn(boxes: Sequence[Box], width: int = 80) -> str:
    lines = draw(boxes, width)
    assert lines is not None
    return "\n" + "\n".join(lines) + "\n"


def test_a_chain_is_straight() -> None:
    start = Box(lines=["start"], outs={"a": "a"}, border=ROUND)
    pivot = Box(lines=["one", "  at two"], ins=["a"], outs={"b": "b"}, border=DOUBLE)
    assert (
        drawn([start, pivot, box("three", "b")])
        == """
  ╭───────╮
  │ start │
  ╰───┬───╯
      │ a
╔═════▼═════╗
║ one       ║
║   at two  ║
╚═════╤═════╝
      │ b
  ┌───▼───┐
  │ three │
  └───────┘
"""
    )


def test_a_diamond() -> None:
    boxes = [box("start", "", "a"), box("left", "a", "l"), box("right", "a", "r"), box("end", "l r", "done")]
    assert (
        drawn(boxes)
        == """
      ┌───────┐
      │ start │
      └───┬───┘
          │ a
    ┌─────┴─────┐
┌───▼───┐   ┌───▼───┐
│ left  │   │ right │
└───┬───┘   └───┬───┘
    │ l         │ r
    └───┐   ┌───┘
      ┌─▼───▼─┐
      │ end   │
      └───┬───┘
          └ done
"""
    )


def test_lines_that_cross_are_not_joined() -> None:
    boxes = [box("s", "", "a"), box("x", "a", "x1"), box("y", "a", "y1"), box("v", "x1 y1"), box("w", "x1 y1")]
    assert (
        drawn(boxes)
        == """
        ┌───┐
        │ s │
        └─┬─┘
          │ a
     ┌────┴────┐
   ┌─▼─┐     ┌─▼─┐
   │ x │     │ y │
   └─┬─┘     └─┬─┘
     │ x1      │ y1
  ┌──┴────────┐│
  │   ┌───────│┴──┐
┌─▼───▼─┐   ┌─▼───▼─┐
│ v     │   │ w     │
└───────┘   └───────┘
"""
    )


def test_an_event_passes_the_layers_that_it_skips() -> None:
    assert (
        drawn([box("s", "", "a"), box("x", "a", "b"), box("y", "a b")])
        == """
   ┌───┐
   │ s │
   └─┬─┘
     │ a
  ┌──┴──┐
┌─▼─┐   │
│ x │   │
└─┬─┘   │
  │ b   │
  └┐   ┌┘
 ┌─▼───▼─┐
 │ y     │
 └───────┘
"""
    )


def test_a_choice_has_a_port_for_each_event() -> None:
    boxes = [box("choose", "", "yes no"), box("x", "yes"), box("y", "no")]
    assert (
        drawn(boxes)
        == """
 ┌─────────┐
 │ choose  │
 └──┬───┬──┘
yes │   │ no
  ┌─┘   └─┐
┌─▼─┐   ┌─▼─┐
│ x │   │ y │
└───┘   └───┘
"""
    )


def test_a_level_is_below_all_that_it_listens_to() -> None:
    boxes = [box("y", "a b", ""), box("x", "a", "b"), box("s", "", "a"), box("lost", "unknown", "")]
    assert levels(boxes) == [2, 1, 0, 0]


def test_what_is_too_wide_is_not_drawn() -> None:
    boxes = [box("start", "", "a"), *(box(f"step-{i}", "a") for i in range(8))]
    assert draw(boxes, 80) is None
    assert draw(boxes, 120) is not None


def test_what_is_too_much_is_not_drawn() -> None:
    assert draw([box(f"step-{i}", f"e{i}", f"e{i + 1}") for i in range(101)], 80) is None


def test_a_circle_is_refused() -> None:
    with pytest.raises(CycleError):
        draw([box("x", "b", "a"), box("y", "a", "b")], 80)


def reached(lines: Sequence[str], row: int, column: int) -> set[str]:
    """The names of the boxes to which a line leads, for someone who follows it with a finger."""
    bits = {"│": "ud", "─": "lr", "┘": "ul", "┐": "dl", "└": "ur", "┌": "dr", "┤": "udl", "├": "udr"}
    bits |= {"┴": "ulr", "┬": "dlr", "┼": "udlr"}
    moves = {"u": (-1, 0), "d": (1, 0), "l": (0, -1), "r": (0, 1)}
    back = dict(zip("udlr", "durl", strict=True))
    found, ahead, seen = set(), [(row, column, "d")], set()
    while ahead:
        at = row, column, going = ahead.pop()
        char = lines[row][column]
        if at in seen:
            continue
        seen.add(at)
        if char == "▼":
            found.add(lines[row + 1][lines[row + 1].rindex("│", 0, column) :].split()[1])
            continue
        crossed = char == "│" and going in "lr"
        assert crossed or back[going] in bits[char], f"a line breaks at {row}, {column}"
        for way in going if crossed else bits[char].replace(back[going], ""):
            ahead.append((row + moves[way][0], column + moves[way][1], way))
    return found


@pytest.mark.parametrize("seed", range(300))
def test_any_graph_is_drawn_in_its_width_or_not_at_all(seed: int) -> None:
    chance = random.Random(seed)
    boxes, events = [Box(lines=["start"], outs={"e0": "e0"})], ["e0"]
    for i in range(1, chance.randrange(2, 12)):
        outs = [f"e{i}.{j}" for j in range(chance.choice((0, 1, 1, 1, 2, 3)))]
        ins = chance.sample(events, min(len(events), chance.choice((1, 1, 2, 3))))
        boxes.append(Box(lines=[f"step-{i}", "x" * chance.randrange(12)], ins=ins, outs={out: out for out in outs}))
        events += outs
    width = chance.choice((40, 80, 200))
    lines = draw(boxes, width)
    if lines is not None:
        assert max(map(len, lines)) <= width
        assert sum(line.count("▼") for line in lines) == sum(len(box.ins) for box in boxes if box.lines)
        assert all(any(f"step-{i}" in line for line in lines) for i in range(1, len(boxes)))
        text = [line.ljust(width) for line in lines]
        for event in events:
            heard = {box.lines[0] for box in boxes if event in box.ins}
            [(row, match)] = [(i, m) for i, line in enumerate(text) if (m := re.search(rf"(?<!\S){event}(?!\S)", line))]
            columns = [match.start() - 2, match.end() + 1]
            [column] = [at for at in columns if 0 <= at < width and text[row][at] in "│└┘"][:1]
            assert (reached(text, row, column) if heard else set()) == heard
