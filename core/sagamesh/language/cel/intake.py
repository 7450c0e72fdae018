"""Data on their way into an expression, and what is only carried through it.

Only what is selected is converted (see `selection`): JSON numbers become doubles, so that a saga which works for 42.5
works for 42. What CEL cannot hold is an error that names its path, never its value; but where it is only carried into
the result, a token stands for it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from datetime import datetime
from typing import TypeVar

from sagamesh.errors import EvaluationError
from sagamesh.language.cel.selection import ASKED, CARRIED, Selection
from sagamesh.text import rfc3339, shortened

MAX_DEPTH = 100  # of data; far below where Python's or the library's stack would end, and deeper than fields are named
MAX_VALUES = 200_000  # of all that is looked at, each list and map one more: 0.3 to 3 us each; 256 KiB hold 125,000
LONGEST_PATH = 120  # characters of one in a message: fields are as long as their sender likes
EXACT = 2**53  # up to here a double holds every whole number
INT64 = 2**63  # from here on a whole number is none of CEL's integers
_TOKEN = b"\xffcarried:"  # no text in UTF-8 begins so, and JSON has no bytes: nothing else looks like it
_PLAIN = re.compile(r"[A-Za-z_]\w*")

T = TypeVar("T", dict[str, object], list[object])


class _UnfitError(Exception):
    """CEL cannot hold a part of the data. `path`: the fields that lead to it, from its end."""

    def __init__(self, why: str) -> None:
        self.why = why
        self.path: list[str | int] = []


class Intake:
    """One walk over what an expression looks at: it converts the data, and measures what the bounds need."""

    def __init__(self) -> None:
        self.items = 0  # of the longest list or map
        self.text = 0  # of the longest string
        self.largest = 0  # values of the largest part that is taken whole: compared, or added to another
        self._values = 0
        self._unseen: list[object] = []  # what tokens stand for

    def take(self, value: object, name: str, selection: Selection) -> object:
        """What the expression gets of a variable. Raises EvaluationError."""
        if isinstance(value, datetime):  # a variable of that type; those of `events` are text
            return value
        try:
            return self._part(value, selection, MAX_DEPTH)
        except _UnfitError as error:
            raise EvaluationError(f"{path_of(name, reversed(error.path))} {error.why}") from None

    def restored(self, value: bytes) -> object:
        """What was carried by a token; any other bytes as they are."""
        number = value.removeprefix(_TOKEN)
        return self._unseen[int(number)] if self._unseen and number != value else value

    def _part(self, value: object, selection: Selection, depth: int) -> object:
        """What is converted of a value, or of a part of it."""
        if selection.whole:
            return self._entire(value, depth)
        if isinstance(value, dict):
            return self._chosen(value, selection, depth)
        if isinstance(value, list):
            return self._listed(value, selection, depth)
        if selection.carried:
            return self._whole(value, depth) if selection.shown else self._leaf(value, depth)
        if isinstance(value, str):
            return self._string(value) if selection.counted else ""
        return value if value is None or isinstance(value, bool) else 0.0  # of more than its type nobody asks

    def _chosen(self, value: dict[str, object], selection: Selection, depth: int) -> object:
        """Of a map what is asked for: all of it where it is carried, all names where it is looped over, else fields."""
        fields, other = selection.fields, None
        if selection.carried:
            if depth == 0 or any("\0" in name for name in value):
                return self._token(value)
            other = CARRIED
        elif selection.each is not None:
            other = ASKED
        taken: dict[str, object] = {}
        for name, item in value.items():
            part = fields.get(name, other)
            if part is None:
                continue
            try:
                taken[self._string(name)] = self._part(item, part, depth - 1)
            except _UnfitError as error:
                error.path.append(name)
                raise
        return self._measured(taken)

    def _listed(self, value: list[object], selection: Selection, depth: int) -> object:
        """Of a list the items that are asked for, in their places."""
        fields, other = selection.fields, selection.each
        if selection.member:
            return self._entire(value, depth)
        if selection.carried:
            if depth == 0:
                return self._token(value)
            other = other or CARRIED
        taken = []
        for place, item in enumerate(value):
            chosen = fields.get(place, other)
            try:
                taken.append(None if chosen is None else self._part(item, chosen, depth - 1))
            except _UnfitError as error:
                error.path.append(place)
                raise
        return self._measured(taken)

    def _leaf(self, value: object, depth: int) -> object:
        """What is carried, and no map or list: as it is, or a token of what CEL cannot hold."""
        if isinstance(value, str):
            return self._token(value) if "\0" in value else value
        if isinstance(value, int) and not -INT64 < value < INT64:
            return self._token(value)
        return self._whole(value, depth)

    def _entire(self, value: object, depth: int) -> object:
        """All of a value that something looks into."""
        before = self._values
        taken = self._whole(value, depth)
        self.largest = max(self.largest, self._values - before)
        return taken

    def _whole(self, value: object, depth: int) -> object:
        """All of a value."""
        kind = type(value)
        if kind is float or kind is bool or value is None:
            return value
        if isinstance(value, str):
            return self._string(value)
        if isinstance(value, int):
            return _double(value)
        if isinstance(value, datetime):
            return rfc3339(value)
        self._check_depth(depth)
        if isinstance(value, dict):
            return self._measured(self._whole_map(value, depth - 1))
        if isinstance(value, list):
            return self._measured(self._whole_list(value, depth - 1))
        raise _UnfitError(f"is a {kind.__name__}, which is not JSON")

    def _whole_map(self, value: dict[str, object], depth: int) -> dict[str, object]:
        taken = {}
        for name, item in value.items():
            try:
                taken[self._string(name)] = item if type(item) is float else self._whole(item, depth)
            except _UnfitError as error:
                error.path.append(name)
                raise
        return taken

    def _whole_list(self, value: list[object], depth: int) -> list[object]:
        taken: list[object] = []
        for place, item in enumerate(value):
            try:
                taken.append(item if type(item) is float else self._whole(item, depth))
            except _UnfitError as error:
                error.path.append(place)
                raise
        return taken

    def _measured(self, taken: T) -> T:
        """What was converted of a map or a list."""
        self.items = max(self.items, len(taken))
        self._values += 1 + len(taken)
        if self._values > MAX_VALUES:
            raise EvaluationError(f"the data are too large for this expression: over {MAX_VALUES} values")
        return taken

    def _string(self, value: str) -> str:
        if "\0" in value:  # the library would silently cut the string off there
            raise _UnfitError("holds a NUL character, which no expression can read")
        self.text = max(self.text, len(value))
        return value

    def _token(self, value: object) -> bytes:
        self._unseen.append(value)
        return _TOKEN + str(len(self._unseen) - 1).encode()

    @staticmethod
    def _check_depth(depth: int) -> None:
        if depth == 0:
            raise _UnfitError(f"is nested deeper than {MAX_DEPTH}")


def _double(number: int) -> float | int:
    """A double, as far as doubles hold every whole number: a larger one stays as it is, and so does each comparison."""
    if -EXACT < number < EXACT:
        return float(number)
    if -INT64 <= number < INT64:
        return number
    try:
        double = float(number)
    except OverflowError:
        double = math.inf
    if double != number:
        raise _UnfitError("is too large for an expression")
    return double


def path_of(name: str, path: Iterable[str | int]) -> str:
    """How a part of the data is called: `event.data.lines[0].sku`, `event.data["unit price"]`."""
    parts = (f".{key}" if isinstance(key, str) and _PLAIN.fullmatch(key) else f"[{_quoted(key)}]" for key in path)
    return shortened(name + "".join(parts), LONGEST_PATH)


def _quoted(key: str | int) -> str:
    if isinstance(key, int):
        return str(key)
    return '"' + "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in key) + '"'
