"""LocalRules: everything that one participant must know of one revision of one saga. A wire format, `format: 2`.

Made by `projection`, carried as JSON by `codec`, compiled for decisions by `compiled`. Readers ignore fields that they
do not know, and refuse a `format` that they do not know.
"""

from __future__ import annotations

from msgspec import Struct

from sagamesh.language.model import Action, Compensation, Emit, Join, Order

FORMAT = 2
"""Of the documents that this version writes and reads."""


class Input(Struct, frozen=True, kw_only=True):
    """A step that this one listens to (`_`: the start), and which of its events count."""

    step: str
    events: tuple[str, ...]


class StepRules(Struct, frozen=True, kw_only=True):
    """One own step, with all that it needs of the others.

    `needs` lists (step, event) of each `events[...]` that its expressions use; `retriable` means downstream of the
    pivot; `open`: nobody can keep it from running, so it needs no `begin`; `behind`: the nearest undoable steps
    downstream of it, which are undone before it.
    """

    name: str
    inputs: tuple[Input, ...]
    join: Join
    action: Action
    emits: tuple[Emit, ...]
    when: str | None = None
    compensation: Compensation | None = None
    needs: tuple[tuple[str, str], ...] = ()
    pivot: bool = False
    retriable: bool = False
    open: bool = False
    behind: tuple[str, ...] = ()


class OpenStep(Struct, frozen=True):
    """What an open step listens to, so that everybody sees whether it runs."""

    inputs: tuple[Input, ...]
    join: Join = "all"


class LocalRules(Struct, frozen=True, kw_only=True):
    """The rules of one participant.

    `outline` names every step of the saga with its participant, in the order of the definition; `own` holds the
    participant's own. `revision` is the same for all participants (see `projection`). `open`: each step that needs no
    `begin`, and what it listens to. `undoable`: those that are undone when the saga is aborted. `last`: those
    of which the one that is undone last ends an aborted instance. `pivot_skippable`: whether the events may be such
    that the pivot is dead.
    """

    format: int = FORMAT
    namespace: str
    saga: str
    participant: str
    revision: str = ""
    start_participant: str
    start_event: str
    key: str | None = None
    order: Order
    park_after: float
    outline: dict[str, str]
    open: dict[str, OpenStep]
    undoable: tuple[str, ...]
    last: tuple[str, ...]
    sinks: tuple[str, ...]
    pivot: str | None = None
    pivot_skippable: bool = False
    own: tuple[StepRules, ...] = ()
