"""Numbers of JSON beside literals, counts and text: what CEL would refuse each time is made to work, when it compiles.

JSON numbers are doubles, and CEL computes with two values of one type alone: `event.data.n * 2` passes its checker,
which knows no type of `event.data.n`, and fails on all data. So the checker is told of more pairs (`pairs`), and what
was checked is written anew in the library's own terms (`settled`): beside what may be a double a whole number becomes
one, and text takes a number by its digits, as `string` does. What needs none of that is left as it is.

A function in Python would say it in a line; but of each call of one the library keeps what it was given, for ever.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sagamesh.errors import ExpressionError
from sagamesh.language.cel import wire
from sagamesh.language.cel.intake import EXACT
from sagamesh.language.cel.syntax import AstNode
from sagamesh.language.cel.wire import ExprKind, Fields, fields, kind_of, written

TYPES = frozenset({"INT", "UINT", "DOUBLE"})
ARITHMETIC = frozenset({"_+_", "_-_", "_*_", "_/_", "_%_", "-_"})
_MEETING = ("_+_", "_-_", "_*_", "_/_")
_COMPARED = ("_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_")
_WHOLE = ("int", "uint")

FRACTION = "%, or a time, of a fraction"
NO_NUMBER = "text of what is no number"
"""Keys that no map has: looking for them is an error that can be told from others."""


def pairs() -> Iterator[tuple[str, tuple[str, ...], str]]:
    """What the checker is told of: functions, the types that they take besides those of CEL, and what they give."""
    for whole in _WHOLE:
        for types in ((whole, "double"), ("double", whole)):
            yield from ((function, types, "double") for function in _MEETING)
            yield from ((function, types, "bool") for function in _COMPARED)
            yield "_?_:_", ("bool", *types), "double"
    for types in (("int", "double"), ("double", "int"), ("double", "double")):
        yield "_%_", types, "int"
    for number in (*_WHOLE, "double"):
        yield from (("_+_", types, "string") for types in (("string", number), (number, "string")))


# -- in the library's terms ----------------------------------------------------------------------------------------
#
# CEL writes doubles from a million on as 1.5e+06. So whole numbers are written as integers, or with no decimals where
# CEL has no such integer; and of large fractions the digits of CEL, as few as say the number, with the dot elsewhere.
_DOTTED = (
    'cel.bind(t, string(n).split("e+"), cel.bind(m, t[0].replace(".", ""), cel.bind(k, int(t[1]) + (n < 0.0 ? 2 : 1), '
    'm.substring(0, k) + "." + m.substring(k))))'
)
_DIGITS = (
    "(n > -9e18 && n < 9e18 ? (n == double(int(n)) ? string(int(n)) : n > -1e6 && n < 1e6 ? string(n)"
    f' : {_DOTTED}) : n - n == 0.0 ? "%.0f".format([n]) : {{"": ""}}["{NO_NUMBER}"])'  # infinity, or none
)
BOUND = "n"
FORMS = {
    "text": f"type(n) == double ? {_DIGITS} : type(n) == int ? string(n) : n",
    "whole": f'type(n) != double ? n : n == double(int(n)) ? int(n) : {{"": 0}}["{FRACTION}"]',
}
"""What stands in the place of a value, `BOUND`: a number as text, and a double as an integer."""


def form(serialized: bytes) -> Fields:
    """One of `FORMS`, compiled as `cel.bind(n, value, FORM)`: a loop over nothing, which starts with the value."""
    checked = fields(fields(serialized)[wire.ANY_VALUE][0])
    return fields(fields(_nameless(checked[wire.CHECKED_EXPR][0]))[ExprKind.LOOP][0])


def _nameless(data: bytes) -> bytes:
    """An expression no part of which has an id: it would be taken for one of the expression that it goes into."""
    expr = fields(data)
    kind = kind_of(expr)
    if kind is ExprKind.CONSTANT:
        return written({kind: expr[kind]})
    return written({kind: [written(wire.with_parts(kind, fields(expr[kind][0]), _nameless))]})


# -- written anew --------------------------------------------------------------------------------------------------

_TOUCHED = (*_MEETING, "_%_", "_?_:_", "string", "timestamp")


def meet(tree: AstNode) -> bool:
    """Whether there may be something to do for `settled`."""
    return tree.calls(*_TOUCHED) or any(map(meet, tree.children))


def settled(serialized: bytes, forms: Mapping[str, Fields]) -> bytes:
    """A checked expression in which numbers of JSON meet others. Raises ExpressionError."""
    outer = fields(serialized)
    checked = fields(outer[wire.ANY_VALUE][0])
    settling = _Settling(_types(checked), forms)
    checked[wire.CHECKED_EXPR] = [settling.settle(checked[wire.CHECKED_EXPR][0])]
    return written({**outer, wire.ANY_VALUE: [written(checked)]})


_PRIMITIVES = {2: "int", 3: "uint", 4: "double", 5: "string"}  # of cel.expr.Type; the others do not matter


def _types(checked: Fields) -> dict[int, str | None]:
    """Id of an expression -> its type, if that is one of a few."""
    found: dict[int, str | None] = {}
    for entry in map(fields, checked.get(wire.CHECKED_TYPES, ())):
        of = fields(entry[wire.ENTRY_VALUE][0])
        if wire.TYPE_DYN in of:
            found[entry[wire.ENTRY_KEY][0]] = "dyn"
        elif wire.TYPE_PRIMITIVE in of:
            found[entry[wire.ENTRY_KEY][0]] = _PRIMITIVES.get(of[wire.TYPE_PRIMITIVE][0])
    return found


class _Settling:
    def __init__(self, types: Mapping[int, str | None], forms: Mapping[str, Fields]) -> None:
        self._types = types
        self._forms = forms

    def settle(self, data: bytes) -> bytes:
        expr = fields(data)
        kind = kind_of(expr)
        if kind in (ExprKind.CONSTANT, ExprKind.VARIABLE):
            return data
        body = wire.with_parts(kind, fields(expr[kind][0]), self.settle)
        if kind is ExprKind.CALL and wire.CALL_ARGUMENTS in body:
            name, arguments = body[wire.CALL_FUNCTION][0].decode(), body[wire.CALL_ARGUMENTS]
            body[wire.CALL_ARGUMENTS] = self._arguments(name, self._type(expr), arguments)
        return written({**expr, kind: [written(body)]})

    def _type(self, expr: Fields) -> str | None:
        return self._types.get(expr.get(wire.EXPR_ID, [0])[0])

    def _arguments(self, name: str, of: str | None, arguments: list[bytes]) -> list[bytes]:
        """What a function that gives that type is given."""
        if name == "string" or (name == "_+_" and of == "string"):
            return [self._bound("text", part) for part in arguments]
        if name in ("_%_", "timestamp"):
            return [self._bound("whole", part) for part in arguments]
        if name in _MEETING and of in ("dyn", "double"):
            return [self._double(part) for part in arguments]
        if name == "_?_:_" and of == "double":
            return [arguments[0], *map(self._double, arguments[1:])]
        return arguments

    def _bound(self, form: str, part: bytes) -> bytes:
        """A part of an expression, in one of the forms; where its type is known to be another, as it is."""
        expr = fields(part)
        of = self._type(expr)
        if form == "whole" and of == "double" and ExprKind.CONSTANT in expr:
            _check_whole(fields(expr[ExprKind.CONSTANT][0]))
        if of in ("dyn", "double"):
            return written({ExprKind.LOOP: [written({**self._forms[form], wire.LOOP_START: [part]})]})
        return _call("string", part) if form == "text" and of in _WHOLE else part

    def _double(self, part: bytes) -> bytes:
        """A part of an expression, in which whole numbers are doubles."""
        expr = fields(part)
        kind, of = kind_of(expr), self._type(expr)
        body = fields(expr[kind][0])
        if kind is ExprKind.CONSTANT and of == "int":
            return _double_constant(body)
        if of in _WHOLE:
            return _call("double", part)
        if kind is not ExprKind.CALL or of != "dyn":
            return part
        arguments = body.get(wire.CALL_ARGUMENTS, [])
        match body[wire.CALL_FUNCTION][0]:
            case b"_?_:_":
                body[wire.CALL_ARGUMENTS] = [arguments[0], *map(self._double, arguments[1:])]
            case b"-_" | b"dyn":
                body[wire.CALL_ARGUMENTS] = [self._double(arguments[0])]
            case b"_[_]":
                body[wire.CALL_ARGUMENTS] = [self._doubles(arguments[0]), arguments[1]]
        return written({**expr, kind: [written(body)]})

    def _doubles(self, part: bytes) -> bytes:
        """The same of all values of a list or map that is written out."""
        expr = fields(part)
        kind = kind_of(expr)
        if kind not in (ExprKind.LIST, ExprKind.MAP):
            return part
        body = wire.with_parts(kind, fields(expr[kind][0]), self._double, keys=False)
        return written({**expr, kind: [written(body)]})


def _call(function: str, part: bytes) -> bytes:
    return written({ExprKind.CALL: [written({wire.CALL_FUNCTION: [function.encode()], wire.CALL_ARGUMENTS: [part]})]})


def _check_whole(constant: Fields) -> None:
    number = wire.double_of(constant)
    if not number.is_integer():
        raise ExpressionError(f"1:1: % takes whole numbers, and {number} is none")


def _double_constant(constant: Fields) -> bytes:
    number = wire.signed(constant[wire.CONSTANT_INT][0])
    if abs(number) > EXACT:
        raise ExpressionError(f"1:1: {number} is too large to compute with: numbers of JSON are doubles")
    return written({ExprKind.CONSTANT: [wire.double_constant(number)]})
