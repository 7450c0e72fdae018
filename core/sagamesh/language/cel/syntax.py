"""The syntax tree of a checked CEL expression.

It comes from `Expression.serialize()`, which is protobuf (`cel/expr/checked.proto`); reading it takes no library for
that. What a tree means, and may cost, its neighbours say: `cost`, `selection`, `guards`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sagamesh.language.cel import wire
from sagamesh.language.cel.wire import ExprKind, Fields, fields, kind_of


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

_CONSTANTS = dict(enumerate(("null_type", "bool", "int", "uint", "double", "string", "bytes"), start=1))  # by field
_NAME = {
    ExprKind.VARIABLE: wire.VARIABLE_NAME,
    ExprKind.FIELD: wire.FIELD_NAME,
    ExprKind.CALL: wire.CALL_FUNCTION,
    ExprKind.MAP: wire.MAP_NAME,
    ExprKind.LOOP: wire.LOOP_VARIABLE,
}


def read(serialized: bytes, source: str) -> AstNode:
    """The tree of a serialized expression; the source says where each part stands."""
    checked = fields(fields(serialized)[wire.ANY_VALUE][0])
    overloads = _overloads(checked)
    offsets = _offsets(checked)

    def node(data: bytes) -> AstNode:
        expr = fields(data)
        kind = kind_of(expr)
        body = fields(expr[kind][0])
        key = expr[wire.EXPR_ID][0]
        is_constant = kind is ExprKind.CONSTANT
        text = body.get(wire.CONSTANT_STRING) if is_constant else None
        number = body.get(wire.CONSTANT_INT) if is_constant else None
        return AstNode(
            kind=kind,
            name=body.get(_NAME[kind], [b""])[0].decode() if kind in _NAME else "",
            tested=kind is ExprKind.FIELD and bool(body.get(wire.FIELD_TESTED, [0])[0]),
            constant=next(_CONSTANTS.get(field, "") for field in body) if is_constant else "",
            text=text[0].decode() if text else None,
            number=wire.signed(number[0]) if number else None,
            position=_position(source, offsets.get(key, 0)),
            overloads=overloads.get(key, frozenset()),
            children=tuple(map(node, _parts(kind, body))),
        )

    return node(checked[wire.CHECKED_EXPR][0])


def _parts(kind: ExprKind, body: Fields) -> list[bytes]:
    """The expressions that one consists of."""
    if kind is ExprKind.MAP:
        entries = map(fields, body.get(wire.MAP_ENTRIES, ()))
        return [
            part for entry in entries for part in (*entry.get(wire.MAP_ENTRY_KEY, ()), *entry[wire.MAP_ENTRY_VALUE])
        ]
    return [part for number in wire.CHILDREN.get(kind, ()) for part in body.get(number, ())]


def _overloads(checked: Fields) -> dict[int, frozenset[str]]:
    """Id of an expression -> what its function may turn out to be, by the types that were found."""
    references = map(fields, checked.get(wire.CHECKED_REFERENCES, ()))
    return {
        entry[wire.ENTRY_KEY][0]: _names(fields(entry[wire.ENTRY_VALUE][0]).get(wire.REFERENCE_OVERLOADS, ()))
        for entry in references
    }


def _offsets(checked: Fields) -> dict[int, int]:
    """Id of an expression -> where it stands in the source. Protobuf leaves a 0 out."""
    positions = map(fields, fields(checked[wire.CHECKED_SOURCE][0]).get(wire.SOURCE_POSITIONS, ()))
    return {entry[wire.ENTRY_KEY][0]: entry.get(wire.ENTRY_VALUE, [0])[0] for entry in positions}


def _names(parts: Iterable[bytes]) -> frozenset[str]:
    return frozenset(part.decode() for part in parts)


def _position(source: str, offset: int) -> str:
    line_start = source.rfind("\n", 0, offset) + 1
    return f"{source.count(chr(10), 0, offset) + 1}:{offset - line_start + 1}"
