"""What can be wrong with a saga: stable codes, and findings that say where, what and how to mend it.

Codes are never reused or renumbered. `docs/checks.md` explains each with an example; `checks` makes the findings.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from msgspec import Struct

from sagamesh.language import graph
from sagamesh.language.model import Saga, Step
from sagamesh.text import Guesses, series

Severity = Literal["error", "warning"]

CODES: Mapping[str, str] = {
    "SM001": "Two steps have the same name.",
    "SM002": "An event is announced more than once.",
    "SM003": "A step listens to an event that nobody announces.",
    "SM004": "Steps wait for one another in a circle.",
    "SM005": "A step listens to nothing, so it is not reachable from the start.",
    "SM006": "A step names an event twice in `after`.",
    "SM007": "A step does not say how it is undone.",
    "SM008": "A step is `readOnly` and has a compensation.",
    "SM009": "The pivot, or a step downstream of it, has a compensation that would never be called.",
    "SM010": "`readOnly` says nothing at the pivot or downstream of it.",
    "SM011": "A saga has more than one pivot.",
    "SM012": "The pivot has a `when`.",
    "SM013": "A step may be open when the pivot starts.",
    "SM014": "A join by `any` merges branches that may both happen.",
    "SM015": "A step can never run, since its inputs exclude one another.",
    "SM016": "A saga branches in too many ways to be checked.",
    "SM017": "The last event of `emits` has a `when`.",
    "SM018": "An event of `emits` comes after one without `when`, so only the app itself can choose it.",
    "SM019": "An expression does not compile.",
    "SM020": "An expression names an event that is never there.",
    "SM021": "An expression names an event that may or may not have happened.",
    "SM022": "The `timeout` of one call does not fit in the `within` of its step.",
    "SM023": "The first delay between calls is longer than the longest.",
    "SM024": "An expression looks into what may not be there, without asking.",
    "SM025": "The expressions of a saga are too large together to be checked.",
    "SM026": "A word without quotes is text in YAML 1.2, and something else in YAML 1.1.",
    "SM027": "A comment that ignores a warning says not which or why, or there is none.",
    "SM028": "An expression asks for a header by a name with capitals, which no header has.",
}
ODD_WORD, IDLE_IGNORE = "SM026", "SM027"
"""Found where files are read: a document does not show any more how it was written, nor its comments."""
WARNINGS = frozenset({"SM010", "SM018", ODD_WORD, IDLE_IGNORE, "SM028"})

FIELDS = (
    *("spec", "start", "key", "steps", "name", "after", "join", "when", "pivot", "readOnly"),
    *("action", "path", "body", "timeout", "within", "retry", "backoff", "maxBackoff", "emits", "event"),
    "compensation",
)
"""The fields that findings point at, in the order of the documentation."""


class Finding(Struct, frozen=True):
    """`path` names the field, as in `spec.steps[2].after`; `message` says what is wrong, `fix` how to mend it."""

    code: str
    level: Severity
    path: str
    message: str
    fix: str


Findings = Iterator[Finding]


def finding(code: str, path: str, message: str, fix: str) -> Finding:
    return Finding(code, "warning" if code in WARNINGS else "error", path, message, fix)


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """By their position in the document."""
    return tuple(sorted(findings, key=lambda each: (_position(each.path), each.code)))


def _position(path: str) -> tuple[int, ...]:
    parts = re.findall(r"\w+", path)
    return tuple(int(part) if part.isdigit() else FIELDS.index(part) for part in parts)


def with_paths(saga: Saga) -> Iterator[tuple[str, Step]]:
    """Each step, and the path to it."""
    return ((f"spec.steps[{index}]", step) for index, step in enumerate(saga.steps))


class EventNames:
    """What the steps and events of a saga are called, and which of them was meant by what is none."""

    def __init__(self, saga: Saga) -> None:
        self.producers = graph.producers(saga)
        self._steps = {step.name: step for step in saga.steps}
        self._guesses = Guesses()

    def meant(self, event: str) -> str:
        if step := self._steps.get(event):
            return f"{event!r} is a step; what it announces is {series((repr(e.event) for e in step.emits), 'or')}"
        if meant := self._guesses.of(event, self.producers.keys()):
            return f"did you mean {meant!r}?"
        return f"add {event!r} to the `emits` of a step, or name another event"
