"""Messages of protobuf, in which the library hands out a checked expression: read, and written again.

That takes no library. What the messages mean, `syntax` and `numbers` say.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Callable
from typing import Any

# Field numbers of google/protobuf/any.proto, cel/expr/checked.proto and syntax.proto; a map is a list of entries.
ANY_VALUE = 2
ENTRY_KEY, ENTRY_VALUE = 1, 2
CHECKED_REFERENCES, CHECKED_TYPES, CHECKED_EXPR, CHECKED_SOURCE = 2, 3, 4, 5
REFERENCE_OVERLOADS = 3
SOURCE_POSITIONS = 4
TYPE_DYN, TYPE_PRIMITIVE = 1, 3
EXPR_ID = 2
CONSTANT_INT, CONSTANT_DOUBLE, CONSTANT_STRING = 3, 5, 6
MAP_NAME, MAP_ENTRIES, MAP_ENTRY_KEY, MAP_ENTRY_VALUE = 1, 2, 3, 4
FIELD_OPERAND, FIELD_NAME, FIELD_TESTED = 1, 2, 3
CALL_TARGET, CALL_FUNCTION, CALL_ARGUMENTS = 1, 2, 3
LIST_ELEMENTS = 1
LOOP_VARIABLE, LOOP_RANGE, LOOP_START, LOOP_CONDITION, LOOP_STEP, LOOP_RESULT = 1, 2, 4, 5, 6, 7
VARIABLE_NAME = 1
_VARINT, _EIGHT_BYTES, _BYTES = 0, 1, 2  # wire types: https://protobuf.dev/programming-guides/encoding
_INT_SIGN = 1 << 63


class ExprKind(enum.IntEnum):
    """The kinds of an expression, by their field numbers in `cel.expr.Expr`."""

    CONSTANT = 3
    VARIABLE = 4
    FIELD = 5
    CALL = 6
    LIST = 7
    MAP = 8
    LOOP = 9


CHILDREN = {
    ExprKind.FIELD: (FIELD_OPERAND,),
    ExprKind.CALL: (CALL_TARGET, CALL_ARGUMENTS),
    ExprKind.LIST: (LIST_ELEMENTS,),
    ExprKind.LOOP: (LOOP_RANGE, LOOP_START, LOOP_CONDITION, LOOP_STEP, LOOP_RESULT),
}
"""Where the parts of an expression stand, in their order; those of a map stand in its entries."""

Fields = dict[int, list[Any]]
"""A message: field number -> its values, which are bytes, or int, by the wire type of the field."""


def fields(data: bytes) -> Fields:
    """The fields of one message, in the order in which they stand."""
    found: Fields = {}
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
        found.setdefault(number, []).append(value)
    return found


def with_parts(kind: ExprKind, body: Fields, change: Callable[[bytes], bytes], *, keys: bool = True) -> Fields:
    """The body of an expression, in which what it consists of is changed; `keys`: also those of a map."""
    if kind is ExprKind.MAP:
        changing = (MAP_ENTRY_KEY, MAP_ENTRY_VALUE) if keys else (MAP_ENTRY_VALUE,)
        entries = (_changed(fields(entry), changing, change) for entry in body.get(MAP_ENTRIES, ()))
        return {**body, MAP_ENTRIES: [written(entry) for entry in entries]}
    return _changed(body, CHILDREN.get(kind, ()), change)


def _changed(message: Fields, numbers: tuple[int, ...], change: Callable[[bytes], bytes]) -> Fields:
    return {number: list(map(change, of)) if number in numbers else of for number, of in message.items()}


def kind_of(expr: Fields) -> ExprKind:
    """What kind of an expression it is."""
    return next(kind for kind in ExprKind if kind in expr)


def signed(number: int) -> int:
    """An int64, which stands there as if it had no sign."""
    return (number ^ _INT_SIGN) - _INT_SIGN


def written(message: Fields) -> bytes:
    """The bytes of a message that has numbers and bytes. What takes eight bytes stands in constants alone."""
    parts = bytearray()
    for number, values in message.items():
        for value in values:
            if isinstance(value, int):
                parts += _tag(number, _VARINT) + _written_varint(value)
            else:
                parts += _tag(number, _BYTES) + _written_varint(len(value)) + value
    return bytes(parts)


def double_of(constant: Fields) -> float:
    """The number of a constant that is a double."""
    number: float = struct.unpack("<d", constant[CONSTANT_DOUBLE][0])[0]
    return number


def double_constant(number: float) -> bytes:
    """The body of such a constant."""
    return _tag(CONSTANT_DOUBLE, _EIGHT_BYTES) + struct.pack("<d", number)


def _tag(number: int, wire_type: int) -> bytes:
    return _written_varint(number << 3 | wire_type)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number in groups of seven bits, the lowest first; the eighth bit says that another follows."""
    value = shift = 0
    while data[at] & 0x80:
        value |= (data[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
    return value | data[at] << shift, at + 1


def _written_varint(number: int) -> bytes:
    groups = bytearray()
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    groups.append(number)
    return bytes(groups)
