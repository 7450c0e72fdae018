"""A conversation's text, read and written: a story in prose, the saga, commands, and below each what happened.

What stands at the margin is the author's and is kept as it is; what is indented is golden. What the commands do is
`talk`'s, and how it is said `wording`'s.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from msgspec.structs import replace

from sagamesh import durations
from sagamesh.language.model import Order, Saga, Step
from sagamesh.log.registers import Name
from support.builders import attempts, shapes

GOLDEN = "  "
OF_SAGA = re.compile(r"step \w+ {2}|order parallel$")
BROKEN_BY = "Broken by: "
"""Begins the line of the story that names a mutant: what would happen otherwise, if that sentence were not kept."""


class ScriptError(Exception):
    """A line that cannot be read."""


class Script(NamedTuple):
    """What the author wrote. `lines`: all of it; `commands`: the places of the commands in there."""

    lines: tuple[str, ...]
    commands: tuple[int, ...]
    saga: Saga
    mutants: tuple[str, ...]

    def played(self, happened: Iterable[list[str]]) -> str:
        """The whole text again, with what happened below each command, and an empty line after it."""
        below = dict(zip(self.commands, happened, strict=True))
        text: list[str] = []
        for n, line in enumerate(self.lines):
            text.append(line)
            if n in below:
                text += [*(GOLDEN + it for it in below[n]), ""]
        return "\n".join(text).rstrip("\n") + "\n"


def read(text: str) -> Script:
    """Read a conversation. What happened is left out: it will be told anew."""
    written = [line for line in text.splitlines() if not line.startswith(GOLDEN)]
    saga = [n for n, line in enumerate(written) if OF_SAGA.match(line)]
    first = max(saga, default=0) + 1
    lines = (*written[:first], "", *filter(None, written[first:]))
    commands = tuple(n for n in range(first + 1, len(lines)) if not lines[n].startswith("#"))
    if not saga or not commands:
        raise ScriptError("a conversation has steps, and commands below them")
    mutants = tuple(line.removeprefix(BROKEN_BY) for line in lines[:first] if line.startswith(BROKEN_BY))
    return Script(lines, commands, _saga(written[n] for n in saga), mutants)


def _saga(lines: Iterable[str]) -> Saga:
    order: Order = "reverse"
    steps = []
    for line in lines:
        if line.startswith("order"):
            order = "parallel"
        else:
            steps.append(_step(line.removeprefix("step ")))
    return shapes.saga(*steps, order=order)


def _step(text: str) -> Step:
    """`charge   at payments   after credit.ok, stock.ok   pivot`: clauses with two spaces or more between them."""
    name, *clauses = re.split(r"\s{2,}", text.strip())
    options: dict[str, Any] = {"at": name}
    within = None
    for clause in clauses:
        word, _, rest = clause.partition(" ")
        match word:
            case "at" | "when" | "body" | "undo" | "join":
                options[word] = rest
            case "after":
                options["after"] = rest.split(", ")
            case "emits":
                options["emits"] = dict(_emits(rest))
            case "pivot" | "retriable" | "readOnly":
                options["kind"] = word
            case "within":
                within = durations.parse(rest)
            case _:
                raise ScriptError(f"a step has no {word!r}: {text}")
    step = attempts.step(name, **options)
    return step if within is None else replace(step, action=replace(step.action, within=within))


def _emits(text: str) -> Iterator[tuple[str, str | None]]:
    for one in text.split(", "):
        event, _, when = one.partition(" if ")
        yield event, when or None


def name_of(text: str) -> Name:
    """A register as it is written here: `charge.begin`, `_.start`, `charge.absent.2_stock_end`."""
    step, dot, register = text.partition(".")
    if not dot:
        raise ScriptError(f"{text!r} is no register")
    return Name(step, register)
