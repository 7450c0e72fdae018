"""A saga as its author means it: immutable values, durations in seconds, nothing looked up yet.

`spec` makes them from a document, `graph` answers questions about who listens to whom, `checks` judges them and
`projection` turns them into the rules of each participant. The defaults are those of the language, and suit a service
next door: a call takes milliseconds, a restart seconds, and who is not back after ten minutes needs somebody's help.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Join = Literal["all", "any"]
Order = Literal["reverse", "parallel"]


class Retry(Struct, frozen=True, kw_only=True):
    """How an action is called again: delays double from `backoff` to `max_backoff` (seconds, full jitter)."""

    backoff: float = 0.2
    max_backoff: float = 10.0


class Action(Struct, frozen=True, kw_only=True):
    """A step's call to its app.

    `timeout` is of one call, `within` of the whole step from begin to end (seconds). `body` is CEL; without it the
    body is the data of what the step listens to.
    """

    path: str
    body: str | None = None
    timeout: float = 5.0
    within: float = 120.0
    retry: Retry = Retry()


class Compensation(Struct, frozen=True, kw_only=True):
    """The call that undoes an action. Without `body` (CEL) it carries the request, the result and the cause."""

    path: str
    body: str | None = None
    timeout: float = 5.0


class Emit(Struct, frozen=True, kw_only=True):
    """One event that a step may announce: the first whose `when` (CEL over the response) holds; the last has none."""

    event: str
    when: str | None = None


class Step(Struct, frozen=True, kw_only=True):
    """One local transaction of one participant."""

    name: str
    participant: str
    after: tuple[str, ...]
    action: Action
    emits: tuple[Emit, ...]
    join: Join = "all"
    when: str | None = None
    compensation: Compensation | None = None
    pivot: bool = False
    read_only: bool = False


class StartSpec(Struct, frozen=True, kw_only=True):
    """Whose app may start the saga, by which event, under which instance id (CEL; without `key`: the event's id)."""

    participant: str
    event: str
    key: str | None = None


class Saga(Struct, frozen=True, kw_only=True):
    """One definition, of kind `Saga`. `park_after`: seconds that something may fail until the saga counts as parked."""

    namespace: str
    name: str
    start: StartSpec
    steps: tuple[Step, ...]
    compensation_order: Order = "reverse"
    park_after: float = 600.0

    @property
    def pivot(self) -> Step | None:
        return next((step for step in self.steps if step.pivot), None)
