"""Mappings of a parsed document, read field by field; whatever cannot be read becomes a problem with its path.

Knows the forms of values (text, durations, lists, ...), not the language: which fields there are is said by `spec`.
A field that cannot be read gives a stand-in, so that one pass finds all problems. Nothing is walked that was not asked
for, and nothing is quoted in full: a document may be deep, large or hostile.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice

from sagamesh import durations
from sagamesh.errors import SpecError
from sagamesh.text import shortened

MOST_UNKNOWN = 10
"""Unknown fields of one mapping that are reported: who has more has another mistake, and a status has little room."""
MOST_GUESSED = 100
"""Problems among which it is still guessed what was meant: a large file may have a hundred thousand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What a text must look like. `rule` says it to people."""

    pattern: re.Pattern[str]
    longest: int
    rule: str


class Node:
    """A mapping at `path`. Each accessor names a field; `close` refuses the fields that none has named."""

    def __init__(self, value: Mapping[object, object], path: str, problems: list[SpecError]) -> None:
        self._value = value
        self._path = path
        self._problems = problems
        self._known: dict[str, None] = {}

    def refuse(self, name: str, message: str) -> None:
        self._problems.append(SpecError(self._at(name), message))

    def get(self, name: str) -> object:
        """The value as it stands. `null` counts as absent, as it does in Kubernetes."""
        self._known[name] = None
        return self._value.get(name)

    def constant(self, name: str, expected: str) -> None:
        value = self.get(name)
        if value != expected:
            self.refuse(name, f"must be {expected!r}, and is {describe(value)}")

    def optional_text(self, name: str, form: Form) -> str | None:
        value = self.get(name)
        return None if value is None else self._text(value, self._at(name), form)

    def text(self, name: str, form: Form, default: str | None = None) -> str:
        value = self.get(name)
        return self._text(default if value is None else value, self._at(name), form)

    def texts(self, name: str, form: Form, most: int, example: str) -> tuple[str, ...]:
        values = self._list(name, most, example)
        return tuple(self._text(value, f"{self._at(name)}[{i}]", form) for i, value in enumerate(values))

    def flag(self, name: str) -> bool:
        value = self.get(name)
        if not isinstance(value, bool | None):
            self.refuse(name, f"must be true or false, without quotes, and is {describe(value)}")
        return value is True

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        """One of `choices`; without the field the first."""
        value = self.get(name)
        if value is not None and value not in choices:
            self.refuse(name, f"must be {' or '.join(map(repr, choices))}, and is {describe(value)}")
        return value if isinstance(value, str) else choices[0]

    def seconds(self, name: str, default: float, most: str) -> float:
        """A positive duration, in seconds."""
        value = self.get(name)
        try:
            return default if value is None else duration(value, most)
        except ValueError as error:
            self.refuse(name, str(error))
            return default

    def child(self, name: str, example: str) -> Node:
        return node(self.get(name), self._at(name), self._problems, f"must be a mapping, as in {example}")

    def optional_child(self, name: str, example: str) -> Node | None:
        return None if self.get(name) is None else self.child(name, example)

    def nodes(self, name: str, most: int, example: str) -> list[Node]:
        """The entries of a list of mappings."""
        rule = f"must be a mapping, as in {example}"
        values = self._list(name, most, example)
        return [node(value, f"{self._at(name)}[{i}]", self._problems, rule) for i, value in enumerate(values)]

    def optional_nodes(self, name: str, most: int, example: str) -> list[Node]:
        return [] if self.get(name) is None else self.nodes(name, most, example)

    def renamed(self, old: str, new: str, message: str) -> bool:
        """Refuse the old name of a field; whether it was used.

        Also where YAML 1.1 made a boolean of it, and Kubernetes' conversion to JSON the text "true".
        """
        used = [key for key in (old, True, "true") if key in self._value]
        for key in used:
            self.refuse(str(key).lower(), message)
        self._value = {key: value for key, value in self._value.items() if key not in used}
        self._known[new] = None
        return bool(used)

    def not_built(self, name: str) -> None:
        """Refuse a field of the language that this version does not carry out."""
        if name in self._value:
            self.refuse(name, "is not built yet and would have no effect; remove it")

    def close(self, *also: str) -> None:
        """Refuse what was not asked for, but for `also`."""
        unknown = (key for key in self._value if key not in self._known and key not in also)
        for key in islice(unknown, MOST_UNKNOWN):
            name = key[:64] if isinstance(key, str) else describe(key)
            guess = len(self._problems) < MOST_GUESSED  # among few words each: in microseconds
            close = get_close_matches(name, self._known, 1) if guess else ()
            hint = f"did you mean {close[0]!r}?" if close else f"the fields here are {', '.join(self._known)}"
            if isinstance(key, str) and re.search(r"[^\w-]", name):
                hint = "if it is the rest of a text, put the text in quotes"
            self.refuse(name, f"is not a field of the language; {hint}")

    def _at(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path else name

    def _text(self, value: object, path: str, form: Form) -> str:
        if isinstance(value, str) and len(value) <= form.longest and form.pattern.fullmatch(value):
            return value
        self._problems.append(SpecError(path, f"must be {form.rule}, and is {describe(value)}"))
        return ""

    def _list(self, name: str, most: int, example: str) -> list[object]:
        value = self.get(name)
        if not isinstance(value, list):
            self.refuse(name, f"must be a list, as in {example}, and is {describe(value)}")
            return []
        if len(value) > most:
            self.refuse(name, f"has {len(value)} entries, and at most {most} are allowed")
        return value[:most]


def node(value: object, path: str, problems: list[SpecError], rule: str) -> Node:
    """The mapping at `path`; or one that swallows its problems, which would all follow from this one."""
    if isinstance(value, Mapping):
        return Node(value, path, problems)
    problems.append(SpecError(path or "document", f"{rule}, and is {describe(value)}"))
    return Node({}, path, [])


def duration(value: object, most: str) -> float:
    """Seconds, exact to the microsecond. Raises ValueError, whose text can follow the name of a field."""
    try:
        seconds = round(durations.parse(value), 6) if isinstance(value, str) else 0.0
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= durations.parse(most):
        raise ValueError(f"{duration_rule(most)}, and is {describe(value)}")
    return seconds


def duration_rule(most: str) -> str:
    """What a duration must be, for people."""
    return f"must be a duration over 0 and up to {most}, such as '200ms', '5s' or '1h30m' {durations.RULE}"


def describe(value: object) -> str:
    """What somebody wrote, short enough for a message."""
    match value:
        case None:
            return "missing"
        case bool():
            return "true" if value else "false"
        case str():
            return repr(shortened(value, 60))
        case int() | float():
            return f"the number {value}" if -1e9 < value < 1e9 else "a number"
        case Mapping():
            return "a mapping"
        case list():
            return "a list"
    return f"a {type(value).__name__}"
