"""CEL expressions: compiled with exact checks when a saga is applied, evaluated on decoded JSON when it runs.

Everything that touches the CEL library stands here. Neighbours: `intake` converts the data before evaluation, by what
`selection` says; whole doubles are written back as integers here. What an expression may cost is bounded before it runs
(`cost`); `failures` says what went wrong. What an evaluation error means for a step is decided elsewhere.
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

import msgspec
from cel_expr_python import cel

from sagamesh.errors import EvaluationError, ExpressionError
from sagamesh.language.cel import numbers, slips
from sagamesh.language.cel.cost import EXAMPLE_EVENT, Survey, survey
from sagamesh.language.cel.failures import Evaluated, explain, plain
from sagamesh.language.cel.intake import INT64, Intake
from sagamesh.language.cel.selection import Selection, select
from sagamesh.language.cel.syntax import AstNode, read
from sagamesh.text import rfc3339, shortened

MAX_LENGTH = 2048  # characters of an expression; the worst one then compiles in 9 ms
MAX_RESULT = 512 << 10  # characters of JSON, about: a loop can repeat its input a thousand times

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
_VALUE = "value"  # what stands where a form of `numbers` has its value
_INTEGERS = frozenset({"response.status"})  # declared as such, not a number of JSON
_LIBRARY = (RuntimeError, ValueError, TypeError, OverflowError)  # what it may raise over data

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
    tree: AstNode = field(repr=False)
    _place: Place = field(repr=False)
    _expression: Any = field(repr=False, compare=False)
    _survey: Survey = field(repr=False)
    _selections: Mapping[str, Selection] = field(repr=False, compare=False)

    @property
    def pattern_weight(self) -> int:
        """What compiling its regular expressions costs, in instructions."""
        return self._survey.pattern_weight

    def __call__(self, variables: Mapping[str, object]) -> object:
        """The result as plain JSON values. Raises EvaluationError."""
        try:
            return self._evaluate({name: variables[name] for name in self.names & variables.keys()})
        except EvaluationError as error:
            raise EvaluationError(f"{shortened(self.source, 80)}: {error}", self._place.field) from None

    def _evaluate(self, variables: Mapping[str, object]) -> object:
        intake = Intake()
        data = {
            name: value if name in _INTEGERS else intake.take(value, name, self._selections[name])
            for name, value in variables.items()
        }
        if why := self._survey.excess(intake.items, intake.text, intake.largest):
            raise EvaluationError(f"the data are too large for this expression: {why}")
        try:
            value = self._expression.eval(data=data)
            if value.type() != _T.ERROR:
                return _result(value, self._place, intake)
            failed = value.plain_value()
        except _LIBRARY as error:  # the budget of the loops, among others
            failed = error
        raise EvaluationError(explain(str(failed), Evaluated(self.tree, self._selections, variables)))


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
        raise ExpressionError(_compile_error(str(error), source, declared, single_event)) from None
    serialized = expression.serialize()
    tree = read(serialized, source)
    _check_type(expression.return_type().name(), tree, place)
    surveyed = survey(tree)
    for pattern in surveyed.patterns:
        _check_pattern(pattern)
    names = surveyed.variables.intersection(declared)
    selections = select(tree, names, carried=place.types == _MAP)
    settled = numbers.settled(serialized, _forms()) if numbers.meet(tree) else serialized
    expression = _runtime(place).deserialize(settled)
    return CelProgram(source, names, surveyed.events, tree, place, expression, surveyed, selections)


@cache
def _environment(place: Place, single_event: bool) -> Any:
    """What an author writes is checked against this."""
    return cel.NewEnv(variables=place.variables(single_event=single_event), extensions=[_pairs()])


@cache
def _pairs() -> Any:
    overloads: dict[str, list[Any]] = {}
    for function, types, gives in numbers.pairs():
        name = f"{function}{'_'.join(types)}"
        parameters = [getattr(_T, of.upper()) for of in types]
        overload = cel.Overload(id=name, return_type=getattr(_T, gives.upper()), parameters=parameters)
        overloads.setdefault(function, []).append(overload)
    return cel.CelExtension("numbers", [cel.FunctionDecl(function, each) for function, each in overloads.items()])


@cache
def _runtime(place: Place) -> Any:
    """What is evaluated is made by it; it has functions that `numbers` needs, and no author may call."""
    extended = cel.NewEnvConfigFromYaml("extensions: [{name: bindings}, {name: strings}]")
    runtime = cel.NewEnv(config=extended, variables={**place.all_variables, _VALUE: _T.DYN})
    runtime.compile("true")  # before it has compiled something, the library knows no variable's type
    return runtime


@cache
def _forms() -> Any:
    bound = {of: f"cel.bind({numbers.BOUND}, {_VALUE}, {form})" for of, form in numbers.FORMS.items()}
    return {of: numbers.form(_runtime(Place.KEY).compile(source).serialize()) for of, source in bound.items()}


@cache
def _pattern_probe() -> Any:
    return cel.NewEnv(variables={"pattern": _T.STRING}).compile("''.matches(pattern)")


def _check_type(returned: str, tree: AstNode, place: Place) -> None:
    if returned == "DYN" and tree.calls(*numbers.ARITHMETIC) and not (tree.name == "_+_" and place.types == _STRING):
        returned = "INT"  # or text, a list, a time; of a type that is not known
    if returned != "DYN" and not returned.startswith(place.types):
        raise ExpressionError(f"1:1: {place.label} must give {place.result}, and this gives {_given(returned, place)}")


def _given(returned: str, place: Place) -> str:
    """What an expression gives that is not asked for."""
    if returned not in numbers.TYPES:
        return returned.lower()
    return "a number; write string(...)" if place.types == _STRING else "a number"


def _check_pattern(pattern: str) -> None:
    value = _pattern_probe().eval(data={"pattern": pattern})
    if value.type() == _T.ERROR:
        raise ExpressionError(f"1:1: {plain(value.plain_value())}")


_LOCATED = re.compile(r"ERROR: <input>:(\d+:\d+): (Syntax error: )?(.*)")
_UNDECLARED = re.compile(r"undeclared reference to '([^']*)'")


def _compile_error(text: str, source: str, declared: Mapping[str, object], single_event: bool) -> str:
    """The first error, without the library's drawing of the place."""
    if "recursion" in text:
        return "1:1: the expression is nested too deeply"
    located = _LOCATED.search(text)
    if located is None:
        return f"1:1: {plain(text)}"
    where, message = located[1], plain(located[3])
    if located[2]:
        return "; ".join((f"{where}: {message}", *slips.of_syntax(source)))
    if field := slips.of_field(message, source, where):
        return f"{where}: {field}"
    unknown = _UNDECLARED.match(message)
    if unknown is None:
        return f"{where}: {message}"
    if not single_event and unknown[1].partition(".")[0] == "event":
        return (
            f"{where}: there is no single event where a step joins several; "
            f'name the one you mean, as in events["{EXAMPLE_EVENT}"].data'
        )
    variables = f"the variables here are {', '.join(declared)}"
    return f"{where}: {message}; {slips.of_name(unknown[1]) or variables}"


def _result(value: Any, place: Place, intake: Intake) -> object:
    returned, native = value.type().name(), _native(value)
    if not returned.startswith(place.types):
        carried = intake.restored(bytes(native)) if returned == "BYTES" else None
        if not isinstance(carried, dict) or place.types != _MAP:
            raise EvaluationError(f"{place.label} must give {place.result}, and this gave {_given(returned, place)}")
    return _Output(intake).convert(native)


def _native(value: Any) -> Any:
    """What Python has for a value of the library.

    Of null it gives `None` without a reference, which is taken back later: after some thousand of them Python 3.11, in
    which `None` is counted as any other object, ends the process ("deallocating None").
    """
    return None if value.type() == _T.NULL else value.value()


class _Output:
    """One walk over the result, which stops where it becomes too large to be sent."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
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
                return [self.convert(_native(item)) for item in value]
            case dict():
                return self._convert_map(value)
            case bytes() | bytearray():
                return self._convert_bytes(bytes(value))
        return self.convert(_json_string(value))

    def _convert_bytes(self, value: bytes) -> object:
        """What was carried comes out as it went in."""
        carried = self._intake.restored(value)
        if carried is value:
            return self.convert(base64.b64encode(value).decode())
        self._spend(len(msgspec.json.encode(carried)))
        return carried

    def _convert_map(self, entries: dict[Any, Any]) -> dict[str, object]:
        for key in entries:
            if not isinstance(key, str):
                raise EvaluationError("the keys of a map must be strings, and one is not")
            self._spend(len(key))
        return {key: self.convert(_native(entries[key])) for key in sorted(entries)}  # theirs differs from run to run

    def _spend(self, characters: int) -> None:
        self._left -= characters
        if self._left < 0:
            raise EvaluationError(f"the result is larger than {MAX_RESULT >> 10} KiB")


def _json_number(number: float) -> float | int:
    if not math.isfinite(number):
        raise EvaluationError(f"the result holds {number}, which JSON cannot express")
    return int(number) if number.is_integer() and abs(number) < INT64 else number


def _json_string(value: object) -> str:
    """CEL's own mapping of the other types to JSON."""
    match value:
        case datetime():
            return rfc3339(value)
        case timedelta():
            return f"{value.total_seconds():.6f}".rstrip("0").rstrip(".") + "s"
    raise EvaluationError("the result holds a type, which JSON cannot express")
