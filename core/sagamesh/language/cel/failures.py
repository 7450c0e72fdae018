"""What the library says of an evaluation that failed, in words that hold no value of the data.

Its own words may: a key that was looked up, a text that is no duration. Where it says too little, that a field is
missing and not which, or that two types do not meet and not whose, the data are looked at again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from sagamesh.language.cel.intake import path_of
from sagamesh.language.cel.numbers import FRACTION, NO_NUMBER
from sagamesh.language.cel.operands import Operand, operands
from sagamesh.language.cel.selection import Selection
from sagamesh.language.cel.syntax import AstNode
from sagamesh.text import listed

NOISE = re.compile(r"^[A-Z_]+: | \[[A-Z_]+\]$| expecting \{.*\}| \(in container ''\)")
_LONGEST = 1000  # characters of what is looked at: it may repeat a text of the data, of any length
_KEY = re.compile(r'Key not found in map : (?:"(.*)"|.*)', re.DOTALL)
_NO_MAP = re.compile(r"Applying SELECT to non-message type|Invalid container type: '\w+'")
_NO_TIME = re.compile(r'Timestamp ".*" (below minimum|above maximum) allowed timestamp ".*"')
_INDEX = re.compile(r"Index error: index=-?\d+ size=\d+")
_INDEX_TYPE = re.compile(r"Index error: expected integer type, got double")
_NO_OVERLOAD = re.compile(r"No matching overloads? found : (?:\(([\w.]+)\)\.)?([\w@&|!?:%*/+<>=-]+)\(([\w., ]+)\)")
_SAYS_NO_VALUE = re.compile(
    r"""No\ matching\ overloads?\ found\ :\ [\w<>@&|!?:%*/+=.,()\[\]\ -]*  # an operator, and types
    | Index\ error:\ expected\ integer\ type,\ got\ \w+
    | Invalid\ map\ key\ type:\ '\w+'
    | (divide|modulus)\ by\ zero
    | (integer|unsigned\ integer|timestamp|duration)\ overflow
    | double\ out\ of\ u?int64\ range
    | (int64|uint64)\ out\ of\ \w+\ range
    | String\ to\ (Timestamp|Duration)\ conversion\ failed
    | cannot\ convert\ string\ to\ \w+
    | Type\ conversion\ error\ from\ '\w+'\ to\ '\w+'
    | Invalid\ timezone
    | malformed\ UTF-8\ bytes
    | duplicate\ key\ in\ map
    | Iteration\ budget\ exceeded
    """,
    re.VERBOSE,
)
_MOST = 3  # paths in one sentence: as many as fit in a line
_TYPES = {dict: "a map", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
_NUMBERS = {"double": "a number", "int64": "a number", "uint64": "a number"}
_CALLED = {
    "string": "a string",
    "list": "a list",
    "map": "a map",
    "bool": "true or false",
    "null_type": "null",
    **_NUMBERS,
}
"""The types of the library."""


def plain(text: str) -> str:
    """The first line of what the library says, without its codes."""
    return NOISE.sub("", text[:_LONGEST].partition("\n")[0])


class Evaluated(NamedTuple):
    """An expression, and what it was evaluated on."""

    tree: AstNode
    selections: Mapping[str, Selection]
    data: Mapping[str, object]

    def given(self, function: str, place: int, *types: str) -> dict[str, Operand]:
        """By their paths, the parts of the data that a function was given in that place, of these types."""
        found = operands(self.tree, self.data, function, place)
        return {operand.path: operand for operand in found if operand.type in types}


def explain(text: str, failed: Evaluated) -> str:
    """Why an evaluation failed, by what the library said of it."""
    said = plain(text)
    if found := _KEY.fullmatch(said):
        return _no_key(found[1], failed)
    if _NO_MAP.fullmatch(said):
        holders = [f"{gap.path} is {gap.holder}" for gap in _gaps(failed) if gap.holder is not None]
        what = listed(dict.fromkeys(holders), _MOST) or "a field is asked for of what is no map"
        return f"{what}, and has no fields" if holders else what
    if _INDEX.fullmatch(said):
        return "an index is outside of its list"
    if _INDEX_TYPE.fullmatch(said):
        return f"an index is a whole number{_unlike_fractions(failed.given('_[_]', 1, 'double'))}"
    if found := _NO_OVERLOAD.fullmatch(said):
        return _not_met(found[2], [of for of in (found[1], *found[3].split(", ")) if of], failed)
    if _NO_TIME.fullmatch(said):
        return "a time is at the very edge of the years 1 to 9999, or beyond"
    return said if _SAYS_NO_VALUE.fullmatch(said) else "it cannot be evaluated on these data"


def _no_key(key: str | None, failed: Evaluated) -> str:
    if key == NO_NUMBER:
        return "text is made of a number that is infinite, or none, as a division by zero gives it"
    if key == FRACTION:
        asked = (("_%_", 0), ("_%_", 1), ("timestamp", 0))
        given = {path: each for call in asked for path, each in failed.given(*call, "double").items()}
        return f"% and timestamp take whole numbers alone{_unlike_fractions(given)}"
    if key is None and (numbers := failed.given("_[_]", 1, *_NUMBERS)):
        return f"the names of fields are text, unlike {listed(numbers, _MOST)}: write string(...)"
    missing = [gap.path for gap in _gaps(failed) if gap.field == key and gap.holder is None]
    return f"there is no {listed(missing, _MOST)}" if missing else "a key is not in its map"


def _unlike_fractions(given: Mapping[str, Operand]) -> str:
    fractions = [path for path, each in given.items() if isinstance(each.value, float) and not each.value.is_integer()]
    return f", unlike {listed(fractions, _MOST)}" if fractions else ""


def _not_met(function: str, types: list[str], failed: Evaluated) -> str:
    """A function that takes no values of these types together: whose are they?"""
    given = [failed.given(function, place, of) for place, of in enumerate(types)]
    if len(types) == 2 and _NUMBERS.keys() >= set(types):
        large = {path: each for place in (0, 1) for path, each in failed.given(function, place, "int64").items()}
        lost = f"a double would lose digits of {listed(large, _MOST)}; compute with int(...)"
        return lost if large else "numbers of two types do not meet here; write double(...) of each"
    whose = [f"{path} is {_CALLED.get(of, of)}" for of, each in zip(types, given, strict=True) for path in each]
    told = f"there is no {function.strip('_')} of {' and '.join(_CALLED.get(of, of) for of in types)}"
    is_sum = function == "_+_" and "string" in types and not _NUMBERS.keys().isdisjoint(types)
    hint = "; string(...) makes text of a number, double(...) a number of text" if is_sum else ""
    return f"{told}: {listed(whose, _MOST)}{hint}" if whose else f"{told}{hint}"


class _Gap(NamedTuple):
    """A field that is not there: `path` leads to it; or, where its holder is no map but `holder`, to that."""

    field: str
    path: str
    holder: str | None


def _gaps(failed: Evaluated) -> Iterator[_Gap]:
    for name, selection in failed.selections.items():
        if name in failed.data:
            yield from _within(failed.data[name], selection, name, ())


def _within(value: object, selection: Selection, name: str, path: tuple[str | int, ...]) -> Iterator[_Gap]:
    if isinstance(value, list):
        parts = [(place, selection.fields.get(place, selection.each)) for place in range(len(value))]
        for place, part in parts:
            if part is not None:
                yield from _within(value[place], part, name, (*path, place))
    for field, part in selection.fields.items():
        if not isinstance(field, str):
            continue
        if not isinstance(value, dict):
            yield _Gap(field, path_of(name, path), _TYPES.get(type(value), "a number"))
        elif field in value:
            yield from _within(value[field], part, name, (*path, field))
        elif part.required:
            yield _Gap(field, path_of(name, (*path, field)), None)
