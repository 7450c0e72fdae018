"""The syntax tree of a checked CEL expression.

It comes from `Expression.serialize()`, which is protobuf (`cel/expr/checked.proto`); reading it takes no library for
that. What a tree means, and may cost, its neighbours say: `cost`, `selection`, `guards`.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


class ExprKind(enum.IntEnum):
    """The kinds of an expression, by their field numbers in `cel.expr.Expr`."""

    CONSTANT = 3
    VARIABLE = 4
    FIELD = 5
    CALL = 6
    LIST = 7
    MAP = 8
    LOOP = 9


Fields = dict[int, list[Any]]
"""A message of protobuf: field number -> its values."""


@dataclass(frozen=True, slots=True)
class AstNode:
    """A part of an expression.

    `name`: of a variable, a field, a function, or what a loop calls its item. `tested`: a field is not read, but asked
    for, by `has`. `constant`: the type of a literal, as CEL calls it, and none of anything else; `text`, `number`: its
    value, if it is a string or an int. `position`: line:column. `children`: of a loop, its range first; of a map, keys
    and values in turn.
    """

    kind: ExprKind
    name: str
    tested: bool
    constant: str
    text: str | None
    number: int | None
    position: str
    overloads: frozenset[str]
    children: tuple[AstNode, ...]

    def calls(self, *functions: str) -> bool:
        """Whether it is a call of one of these."""
        return self.kind is ExprKind.CALL and self.name in functions


# -- reading -------------------------------------------------------------------------------------------------------
#
# Field numbers of google/protobuf/any.proto, cel/expr/checked.proto and cel/expr/syntax.proto; a map is a list of
# entries there. Any = bytes, or int, by the field's wire type: https://protobuf.dev/programming-guides/encoding.
_ANY_VALUE = 2
_ENTRY_KEY, _ENTRY_VALUE = 1, 2
_CHECKED_REFERENCES, _CHECKED_EXPR, _CHECKED_SOURCE = 2, 4, 5
_REFERENCE_OVERLOADS = 3
_SOURCE_POSITIONS = 4
_EXPR_ID = 2
_CONSTANTS = dict(enumerate(("null_type", "bool", "int", "uint", "double", "string", "bytes"), start=1))
_CONSTANT_INT, _CONSTANT_STRING = 3, 6
_INT_SIGN = 1 << 63
_MAP_NAME, _MAP_ENTRIES, _MAP_ENTRY_KEY, _MAP_ENTRY_VALUE = 1, 2, 3, 4
_FIELD_OPERAND, _FIELD_NAME, _FIELD_TESTED = 1, 2, 3
_CALL_TARGET, _CALL_FUNCTION, _CALL_ARGUMENTS = 1, 2, 3
_LIST_ELEMENTS = 1
_LOOP_VARIABLE, _LOOP_RANGE, _LOOP_START, _LOOP_CONDITION, _LOOP_STEP, _LOOP_RESULT = 1, 2, 4, 5, 6, 7
_VARIABLE_NAME = 1
_VARINT, _EIGHT_BYTES = 0, 1  # wire types; of the others this tree has only 2, bytes with their length before them

_NAME = {
    ExprKind.VARIABLE: _VARIABLE_NAME,
    ExprKind.FIELD: _FIELD_NAME,
    ExprKind.CALL: _CALL_FUNCTION,
    ExprKind.MAP: _MAP_NAME,
    ExprKind.LOOP: _LOOP_VARIABLE,
}
_CHILDREN = {
    ExprKind.FIELD: (_FIELD_OPERAND,),
    ExprKind.CALL: (_CALL_TARGET, _CALL_ARGUMENTS),
    ExprKind.LIST: (_LIST_ELEMENTS,),
    ExprKind.LOOP: (_LOOP_RANGE, _LOOP_START, _LOOP_CONDITION, _LOOP_STEP, _LOOP_RESULT),
}


def read(serialized: bytes, source: str) -> AstNode:
    """The tree of a serialized expression; the source says where each part stands."""
    checked = _fields(_fields(serialized)[_ANY_VALUE][0])
    overloads = _overloads(checked)
    offsets = _offsets(checked)

    def node(data: bytes) -> AstNode:
        expr = _fields(data)
        kind = next(kind for kind in ExprKind if kind in expr)
        body = _fields(expr[kind][0])
        key = expr[_EXPR_ID][0]
        is_constant = kind is ExprKind.CONSTANT
        text = body.get(_CONSTANT_STRING) if is_constant else None
        number = body.get(_CONSTANT_INT) if is_constant else None
        return AstNode(
            kind=kind,
            name="".join(part.decode() for part in body.get(_NAME[kind], ())) if kind in _NAME else "",
            tested=kind is ExprKind.FIELD and bool(body.get(_FIELD_TESTED, [0])[0]),
            constant=next(_CONSTANTS.get(field, "") for field in body) if is_constant else "",
            text=text[0].decode() if text else None,
            number=(number[0] ^ _INT_SIGN) - _INT_SIGN if number else None,
            position=_position(source, offsets.get(key, 0)),
            overloads=overloads.get(key, frozenset()) if kind is ExprKind.CALL else frozenset(),
            children=tuple(map(node, _parts(kind, body))),
        )

    return node(checked[_CHECKED_EXPR][0])


def _parts(kind: ExprKind, body: Fields) -> list[bytes]:
    """The expressions that one consists of."""
    if kind is ExprKind.MAP:
        entries = map(_fields, body.get(_MAP_ENTRIES, ()))
        return [part for entry in entries for part in (*entry.get(_MAP_ENTRY_KEY, ()), *entry[_MAP_ENTRY_VALUE])]
    return [part for number in _CHILDREN.get(kind, ()) for part in body.get(number, ())]


def _overloads(checked: Fields) -> dict[int, frozenset[str]]:
    """Id of an expression -> what its function may turn out to be, by the types that were found."""
    references = map(_fields, checked.get(_CHECKED_REFERENCES, ()))
    return {
        entry[_ENTRY_KEY][0]: _names(_fields(entry[_ENTRY_VALUE][0]).get(_REFERENCE_OVERLOADS, ()))
        for entry in references
    }


def _offsets(checked: Fields) -> dict[int, int]:
    """Id of an expression -> where it stands in the source. Protobuf leaves a 0 out."""
    positions = map(_fields, _fields(checked[_CHECKED_SOURCE][0]).get(_SOURCE_POSITIONS, ()))
    return {entry[_ENTRY_KEY][0]: entry.get(_ENTRY_VALUE, [0])[0] for entry in positions}


def _names(parts: Iterable[bytes]) -> frozenset[str]:
    return frozenset(part.decode() for part in parts)


def _position(source: str, offset: int) -> str:
    line_start = source.rfind("\n", 0, offset) + 1
    return f"{source.count(chr(10), 0, offset) + 1}:{offset - line_start + 1}"


def _fields(data: bytes) -> Fields:
    """The fields of one message, in the order in which they stand."""
    fields: Fields = {}
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire_type = tag >> 3, tag & 0b111
        value: Any
        if wire_type == _VARINT:
            value, at = _varint(data, at)
        else:
            size, at = (8, at) if wire_type == _EIGHT_BYTES else _varint(data, at)
            value, at = data[at : at + size], at + size
        fields.setdefault(number, []).append(value)
    return fields


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number in groups of seven bits, the lowest first; the eighth bit says that another follows."""
    value = shift = 0
    while data[at] & 0x80:
        value |= (data[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
    return value | data[at] << shift, at + 1
