"""What the library says of an evaluation that failed, in words that hold no value of the data.

Its own words may: a key that was looked up, a text that is no duration. Where it says too little, that a field is
missing and not which, the data are looked at again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from sagamesh.language.cel.intake import path_of
from sagamesh.language.cel.selection import Selection
from sagamesh.text import listed

NOISE = re.compile(r"^[A-Z_]+: | \[[A-Z_]+\]$| expecting \{.*\}| \(in container ''\)")
_KEY = re.compile(r'Key not found in map : (?:"(.*)"|.*)', re.DOTALL)
_NO_MAP = re.compile(r"Applying SELECT to non-message type|Invalid container type: '\w+'")
_INDEX = re.compile(r"Index error: index=-?\d+ size=\d+")
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


def plain(text: str) -> str:
    """The first line of what the library says, without its codes."""
    return NOISE.sub("", text.partition("\n")[0])


def explain(text: str, selections: Mapping[str, Selection], data: Mapping[str, object]) -> str:
    """Why an evaluation failed, by what the library said of it."""
    said = plain(text)
    if found := _KEY.fullmatch(said):
        missing = [gap.path for gap in _gaps(selections, data) if gap.field == found[1] and gap.holder is None]
        return f"there is no {listed(missing, _MOST)}" if missing else "a key is not in its map"
    if _NO_MAP.fullmatch(said):
        holders = [f"{gap.path} is {gap.holder}" for gap in _gaps(selections, data) if gap.holder is not None]
        what = listed(dict.fromkeys(holders), _MOST) or "a field is asked for of what is no map"
        return f"{what}, and has no fields" if holders else what
    if _INDEX.fullmatch(said):
        return "an index is outside of its list"
    return said if _SAYS_NO_VALUE.fullmatch(said) else "it cannot be evaluated on these data"


class _Gap(NamedTuple):
    """A field that is not there: `path` leads to it; or, where its holder is no map but `holder`, to that."""

    field: str
    path: str
    holder: str | None


def _gaps(selections: Mapping[str, Selection], data: Mapping[str, object]) -> Iterator[_Gap]:
    for name, selection in selections.items():
        if name in data:
            yield from _within(data[name], selection, name, ())


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
