"""The parts of the data that a function was given: asked when it failed, to say whose value it could not bear."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

from sagamesh.language.cel.intake import EXACT, INT64, path_of
from sagamesh.language.cel.syntax import AstNode
from sagamesh.language.cel.wire import ExprKind

_TYPES = {bool: "bool", str: "string", dict: "map", list: "list", type(None): "null_type", datetime: "timestamp"}


class Operand(NamedTuple):
    """A part of the data, where an expression names it, or loops over what holds it."""

    variable: str
    keys: tuple[str | int, ...]
    value: object

    @property
    def path(self) -> str:
        return path_of(self.variable, self.keys)

    @property
    def type(self) -> str:
        """As the library says it."""
        if isinstance(self.value, int) and not isinstance(self.value, bool):
            return "int64" if abs(self.value) >= EXACT and -INT64 <= self.value < INT64 else "double"
        return _TYPES.get(type(self.value), "double")

    def part(self, key: str | int) -> Iterator[Operand]:
        """A field, or an item; nothing where there is none."""
        if isinstance(self.value, list):
            if isinstance(key, int) and 0 <= key < len(self.value):
                yield Operand(self.variable, (*self.keys, key), self.value[key])
        elif isinstance(self.value, dict) and key in self.value:
            yield Operand(self.variable, (*self.keys, key), self.value[key])

    def items(self) -> Iterator[Operand]:
        """What a loop goes over, of a list."""
        if isinstance(self.value, list):
            for key in range(len(self.value)):
                yield from self.part(key)


_Loops = Mapping[str, list[Operand]]
"""What a loop calls its item, and the items."""


def operands(tree: AstNode, data: Mapping[str, object], function: str, place: int) -> Iterator[Operand]:
    """All that the function is given in that place, wherever it is called."""
    variables = {name: [Operand(name, (), value)] for name, value in data.items()}
    yield from _called(tree, variables, function, place)


def _called(node: AstNode, named: _Loops, function: str, place: int) -> Iterator[Operand]:
    if node.calls(function) and place < len(node.children):
        yield from _reached(node.children[place], named)
    if node.kind is ExprKind.LOOP:
        over, *rest = node.children
        yield from _called(over, named, function, place)
        named = {**named, node.name: [item for each in _reached(over, named) for item in each.items()]}
        for part in rest:
            yield from _called(part, named, function, place)
    else:
        for part in node.children:
            yield from _called(part, named, function, place)


def _reached(node: AstNode, named: _Loops) -> Iterator[Operand]:
    """What a chain of fields leads to."""
    if node.kind is ExprKind.VARIABLE:
        yield from named.get(node.name, ())
    elif node.kind is ExprKind.FIELD and not node.tested:
        for each in _reached(node.children[0], named):
            yield from each.part(node.name)
    elif node.calls("_[_]"):
        key = node.children[1].text if node.children[1].number is None else node.children[1].number
        if key is not None:
            for each in _reached(node.children[0], named):
                yield from each.part(key)
    elif node.calls("_?_:_"):
        for branch in node.children[1:]:
            yield from _reached(branch, named)
