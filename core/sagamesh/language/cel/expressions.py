"""CEL expressions: compiled with exact checks when a saga is applied, evaluated on decoded JSON when it runs.

Everything that touches the CEL library stands here. JSON numbers become doubles before evaluation, so that a saga which
works for 42.5 works for 42, and whole ones are written back as integers. What an expression may cost is bounded before
it runs, by `sagamesh.language.cel.cost`, its neighbour. What an evaluation error means for a step is decided elsewhere.
"""

from __future__ import annotations

import base64
import enum
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from cel_expr_python import cel

from sagamesh.errors import EvaluationError, ExpressionError
from sagamesh.language.cel.cost import Survey, survey
from sagamesh.text import rfc3339, shortened

MAX_LENGTH = 2048  # characters of an expression; the worst one then compiles in 5 ms
MAX_DEPTH = 100  # of data; far below where Python's or the library's stack would end
MAX_RESULT = 512 << 10  # characters of JSON, about: a loop can repeat its input a thousand times
_INT64 = 2**63  # from here on a whole number is none of CEL's integers

_T = cel.Type
_EVENT = {"event.id": _T.STRING, "event.type": _T.STRING, "event.time": _T.TIMESTAMP, "event.data": _T.DYN}
_EVENTS = {"events": _T.Map(_T.STRING, _T.DYN)}
_SAGA = {"saga.name": _T.STRING, "saga.id": _T.STRING, "saga.run": _T.STRING, "saga.started": _T.TIMESTAMP}
_RESPONSE = {
    "response.status": _T.INT,
    "response.headers": _T.Map(_T.STRING, _T.STRING),
    "response.body": _T.DYN,
}
_UNDO = {"request": _T.DYN, "result": _T.DYN, "cause": _T.STRING}
_INTEGERS = frozenset({"response.status"})  # declared as such, not a number of JSON

_BOOL = ("BOOL",)
_STRING = ("STRING",)
_MAP = ("MAP<STRING", "MAP<DYN")


class Place(enum.Enum):
    """Where an expression stands: the variables declared there, and the types of which it must return one."""

    KEY = ("key", "a string", _STRING, {**_EVENT})
    WHEN = ("when", "true or false", _BOOL, {**_EVENT, **_EVENTS, **_SAGA})
    BODY = ("action.body", "a map", _MAP, {**_EVENT, **_EVENTS, **_SAGA})
    EMIT = ("emits.when", "true or false", _BOOL, {**_EVENT, **_EVENTS, **_SAGA, **_RESPONSE})
    COMPENSATION_BODY = ("compensation.body", "a map", _MAP, {**_EVENT, **_EVENTS, **_SAGA, **_UNDO})

    def __init__(self, field: str, result: str, types: tuple[str, ...], variables: dict[str, Any]) -> None:
        self.field = field
        self.label = field.rpartition(".")[2]
        self.result = result
        self.types = types
        self.all_variables = variables

    def variables(self, *, single_event: bool) -> dict[str, Any]:
        return {name: of for name, of in self.all_variables.items() if single_event or name not in _EVENT}


@dataclass(frozen=True, slots=True)
class CelProgram:
    source: str
    names: frozenset[str]  # the declared variables that it uses, such as "event.data"
    events: frozenset[str]  # the event types that it names in events["..."]
    _place: Place = field(repr=False)
    _expression: Any = field(repr=False, compare=False)
    _survey: Survey = field(repr=False, compare=False)

    @property
    def pattern_weight(self) -> int:
        """What compiling its regular expressions costs, in characters of an ordinary one."""
        return self._survey.pattern_weight

    def __call__(self, variables: Mapping[str, object]) -> object:
        """The result as plain JSON values. Raises EvaluationError."""
        try:
            return _result(self._evaluate(variables), self._place)
        except EvaluationError as error:
            raise EvaluationError(f"{shortened(self.source, 80)}: {error}", self._place.field) from None

    def _evaluate(self, variables: Mapping[str, object]) -> Any:
        intake = _Intake()
        data = {name: intake.take(self._needed(name, variables[name]), name) for name in self.names & variables.keys()}
        if why := self._survey.excess(intake.items, intake.text, intake.values):
            raise EvaluationError(f"the data are too large for this expression: {why}")
        try:
            value = self._expression.eval(data=data)
        except (RuntimeError, UnicodeError) as error:  # the budget of the loops, among others
            raise EvaluationError(_plain(str(error))) from None
        if value.type() == _T.ERROR:
            raise EvaluationError(_plain(value.plain_value()))
        return value

    def _needed(self, name: str, value: object) -> object:
        if name == "events" and isinstance(value, Mapping):
            return {event: value[event] for event in self.events if event in value}
        return value


def compile_expression(source: str, place: Place, *, single_event: bool = True) -> CelProgram:
    """Check everything that can be known before there are data. Raises ExpressionError.

    `single_event` is false where a step joins several events, so that `event` has no meaning.
    """
    if len(source) > MAX_LENGTH:
        raise ExpressionError(f"1:1: the expression has {len(source)} characters, over the limit of {MAX_LENGTH}")
    declared = place.variables(single_event=single_event)
    try:
        expression = _environment(place, single_event).compile(source)
    except (RuntimeError, TypeError) as error:  # TypeError: text that is not Unicode
        raise ExpressionError(_compile_error(str(error), declared, single_event)) from None
    _check_type(expression.return_type().name(), place)
    surveyed = survey(expression.serialize(), source)
    for pattern in surveyed.patterns:
        _check_pattern(pattern)
    return CelProgram(source, surveyed.variables & declared.keys(), surveyed.events, place, expression, surveyed)


@cache
def _environment(place: Place, single_event: bool) -> Any:
    return cel.NewEnv(variables=place.variables(single_event=single_event))


@cache
def _pattern_probe() -> Any:
    return cel.NewEnv(variables={"pattern": _T.STRING}).compile("''.matches(pattern)")


def _check_type(returned: str, place: Place) -> None:
    if returned != "DYN" and not returned.startswith(place.types):
        raise ExpressionError(f"1:1: {place.label} must give {place.result}, and this gives {returned.lower()}")


def _check_pattern(pattern: str) -> None:
    value = _pattern_probe().eval(data={"pattern": pattern})
    if value.type() == _T.ERROR:
        raise ExpressionError(f"1:1: {_plain(value.plain_value())}")


_LOCATED = re.compile(r"ERROR: <input>:(\d+:\d+): (?:Syntax error: )?(.*)")
_UNDECLARED = re.compile(r"undeclared reference to '([^']*)'")
_NOISE = re.compile(r"^[A-Z_]+: | \[[A-Z_]+\]$| expecting \{.*\}| \(in container ''\)")


def _compile_error(text: str, declared: Mapping[str, object], single_event: bool) -> str:
    """The first error, without the library's drawing of the place."""
    if "recursion" in text:
        return "1:1: the expression is nested too deeply"
    located = _LOCATED.search(text)
    if located is None:
        return f"1:1: {_plain(text)}"
    where, message = located[1], _plain(located[2])
    unknown = _UNDECLARED.match(message)
    if unknown and not single_event and unknown[1].partition(".")[0] == "event":
        return (
            f"{where}: there is no single event where a step joins several; "
            'name the one you mean, as in events["order.placed"].data'
        )
    return f"{where}: {message}" + (f"; the variables here are {', '.join(declared)}" if unknown else "")


def _plain(text: str) -> str:
    return _NOISE.sub("", text.partition("\n")[0])


class _Intake:
    """One walk over the data: it makes numbers doubles, and measures what the bounds need."""

    def __init__(self) -> None:
        self.items = 0  # of the longest list or map
        self.text = 0  # of the longest string
        self.values = 0

    def take(self, value: object, name: str) -> object:
        typed = name in _INTEGERS or isinstance(value, datetime)
        return value if typed else self._convert(value, name, MAX_DEPTH)

    def _convert(self, value: object, name: str, depth: int) -> object:
        if depth == 0:
            raise EvaluationError(f"{name} is nested deeper than {MAX_DEPTH}")
        self.values += 1
        match value:
            case str():
                return self._string(value, name)
            case float() | bool() | None:
                return value
            case int():
                return _double(value)
            case dict():
                self.items = max(self.items, len(value))
                string, convert, below = self._string, self._convert, depth - 1
                return {string(key, name): convert(item, name, below) for key, item in value.items()}
            case list():
                self.items = max(self.items, len(value))
                return [self._convert(item, name, depth - 1) for item in value]
            case datetime():  # of one of `events`: the library takes timestamps in variables of that type only
                return rfc3339(value)
        raise EvaluationError(f"{name} holds a {type(value).__name__}, which is not JSON")

    def _string(self, value: str, name: str) -> str:
        if "\0" in value:  # the library would silently cut the string off there
            raise EvaluationError(f"{name} holds a string with a NUL character, which no expression can read")
        self.text = max(self.text, len(value))
        return value


def _double(number: int) -> float | int:
    """A double, unless that would change the number: an id beyond 2**53 passes through unharmed as an integer."""
    try:
        double = float(number)
    except OverflowError:
        return number
    return double if double == number else number


def _result(value: Any, place: Place) -> object:
    returned = value.type().name()
    if not returned.startswith(place.types):
        raise EvaluationError(f"{place.label} must give {place.result}, and this gave {returned.lower()}")
    return _Output().convert(value.value())


class _Output:
    """One walk over the result, which stops where it becomes too large to be sent."""

    def __init__(self) -> None:
        self._left = MAX_RESULT

    def convert(self, value: object) -> object:
        self._spend(2)
        match value:
            case bool() | int() | None:
                return value
            case str():
                self._spend(len(value))
                return value
            case float():
                return _json_number(value)
            case list():
                return [self.convert(item.value()) for item in value]
            case dict():
                return self._convert_map(value)
        return self.convert(_json_string(value))

    def _convert_map(self, entries: dict[Any, Any]) -> dict[str, object]:
        for key in entries:
            if not isinstance(key, str):
                raise EvaluationError(f"the keys of a map must be strings, and one is {key!r}")
            self._spend(len(key))
        return {key: self.convert(entries[key].value()) for key in sorted(entries)}  # theirs differs from run to run

    def _spend(self, characters: int) -> None:
        self._left -= characters
        if self._left < 0:
            raise EvaluationError(f"the result is larger than {MAX_RESULT >> 10} KiB")


def _json_number(number: float) -> float | int:
    if not math.isfinite(number):
        raise EvaluationError(f"the result holds {number}, which JSON cannot express")
    return int(number) if number.is_integer() and abs(number) < _INT64 else number


def _json_string(value: object) -> str:
    """CEL's own mapping of the other types to JSON."""
    match value:
        case datetime():
            return rfc3339(value)
        case timedelta():
            return f"{value.total_seconds():.6f}".rstrip("0").rstrip(".") + "s"
        case bytes() | bytearray():
            return base64.b64encode(value).decode()
    raise EvaluationError(f"the result holds {value}, which JSON cannot express")
