"""What is known of the data where an expression looks into them, and what is said where that is not enough."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

BODY, HEADERS = "response.body", "response.headers"
EVENT, TYPE = "event.data", "event.type"
WRITTEN = ""
"""Stands where a variable stands, of what is written out in the expression."""


class Key(NamedTuple):
    """A field whose name a variable holds, such as the item of a loop."""

    variable: str


Path = tuple[str | int | Key, ...]
"""A variable, and the fields, or places of a list, that lead on from it."""


class Fact(NamedTuple):
    """What is known of a part of the data: its type, that it is `there`, or that it is `some` value and not null."""

    path: Path
    known: str


Facts = frozenset[Fact]
NOTHING: Facts = frozenset()
THERE, SOME, NULL = "there", "some", "null_type"
TYPES = frozenset({"map", "list", "string", "double", "int", "uint", "bool", "bytes", NULL})
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Unguarded(NamedTuple):
    """Something that fails where `path` is not what it is taken for.

    `position`: line:column. `guard`: what to ask before; empty where nothing is known that would help.
    """

    path: Path
    position: str
    guard: str

    @property
    def variable(self) -> str:
        return str(self.path[0])

    @property
    def text(self) -> str:
        """The path as it is written."""
        return written(self.path)


class Heard(NamedTuple):
    """What is known of the events that an expression may name.

    `skipped`: those that come without data where their step is skipped, and that step. `by`: those by one of which the
    step runs; none where it waits for several, and there is no `event`.
    """

    skipped: Mapping[str, str] = {}
    by: tuple[str, ...] = ()

    def null(self) -> frozenset[str]:
        """The data that may be null, as they are written."""
        named = {data_of(event) for event in self.skipped if (event,) != self.by}
        return frozenset(named | ({EVENT} if self.without_data(self.by) else set()))

    def without_data(self, events: tuple[str, ...]) -> list[str]:
        """Those of them that may come without."""
        return [event for event in events if event in self.skipped]

    def root(self, event: str) -> str:
        """The data of an event, in one way of writing: those of the only one that is heard have two."""
        return EVENT if (event,) == self.by else data_of(event)

    def steps(self, root: str) -> list[str]:
        """Whose being skipped makes it null."""
        events = self.by if root == EVENT else tuple(event for event in self.skipped if data_of(event) == root)
        return [self.skipped[event] for event in self.without_data(events)]


NOBODY = Heard()
"""In places that know no events."""


def data_of(event: str) -> str:
    return f"events[{quoted(event)}].data"


def written(path: Path) -> str:
    """A path as an author writes it."""
    variable, *fields = path
    return f"{variable}{''.join(map(_field, fields))}"


def asked(holder: Path, field: str | int | Key) -> str:
    """The question whether a part of the data has that field."""
    if isinstance(field, int):
        return f"size({written(holder)}) > {field}"
    if isinstance(field, Key):
        return f"{field.variable} in {written(holder)}"
    if _NAME.fullmatch(field) and holder != (HEADERS,):
        return f"has({written((*holder, field))})"
    return f"{quoted(field)} in {written(holder)}"


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _field(field: str | int | Key) -> str:
    if isinstance(field, str):
        return f".{field}" if _NAME.fullmatch(field) else f"[{quoted(field)}]"
    return f"[{field}]" if isinstance(field, int) else f"[{field.variable}]"
