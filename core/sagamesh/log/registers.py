"""Registers: their names, their values, and the only place that formats or reads a subject.

A register is a write-once subject of a saga's stream. `codec` turns values into bytes; `decision` says who writes
which when. Values are pinned by golden tests: add fields with defaults, never change the meaning of one.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from msgspec import Raw, Struct, field
from msgspec.structs import force_setattr

from sagamesh.errors import UnreadableError
from sagamesh.text import cut

SAGA = "_"
"""Stands where a step's name stands, in the registers that belong to the saga as a whole."""

NULL = Raw(b"null")


class Name(NamedTuple):
    """A register within one instance."""

    step: str
    register: str


START = Name(SAGA, "start")
OUTCOME = Name(SAGA, "outcome")
ABORT = Name(SAGA, "abort")
FINISH = Name(SAGA, "finish")


def begin(step: str) -> Name:
    return Name(step, "begin")


def end(step: str) -> Name:
    """The register that tells how `step` ended; for `_` the start, which is what its listeners wait for."""
    return START if step == SAGA else Name(step, "end")


def compensation(step: str) -> Name:
    return Name(step, "compensation")


def marker(step: str, sequence: int, awaited: Name) -> Name:
    """Where `step` proves that `awaited` was absent when the delivery of that sequence was handled."""
    return Name(step, f"absent.{sequence}_{awaited.step}_{awaited.register}")


class SagaKey(NamedTuple):
    """Which saga. In NATS it has no other name."""

    namespace: str
    saga: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.saga}"


class Instance(NamedTuple):
    """One execution's place in the log."""

    namespace: str
    saga: str
    id: str

    @property
    def stream(self) -> str:
        """The one stream that holds its registers. Another instance of the same saga may lie in another."""
        return _stream(self.namespace, self.saga)

    @property
    def wildcard(self) -> str:
        """The subjects of all its registers, as one wildcard."""
        return f"saga.{self.namespace}.{self.saga}.{self.id}.>"

    def subject(self, name: Name) -> str:
        return f"saga.{self.namespace}.{self.saga}.{self.id}.{name.step}.{name.register}"


def streams(namespace: str, saga: str) -> tuple[str, ...]:
    """The names of all streams of a saga's log. Today there is one; there may be several, each with some instances.

    Only for whoever must see every instance: the log of one is `Instance.stream`.
    """
    return (_stream(namespace, saga),)


def subjects(namespace: str, saga: str) -> tuple[str, ...]:
    """What each of `streams` holds, in the same order: a wildcard each. Those of one instance: `Instance.wildcard`."""
    return (f"saga.{namespace}.{saga}.>",)


def _stream(namespace: str, saga: str) -> str:
    return f"SAGA_{namespace}_{saga}"


def saga_of_stream(stream: str) -> SagaKey | None:
    """The saga whose log a stream of that name belongs to; None: no saga's. Neither of its names can hold a `_`."""
    match stream.split("_"):
        case ["SAGA", namespace, saga]:
            return SagaKey(namespace, saga)
    return None


def filter_subject(namespace: str, saga: str, name: Name) -> str:
    """One register of every instance, as a wildcard: the same in each of the saga's streams."""
    return f"saga.{namespace}.{saga}.*.{name.step}.{name.register}"


def parse(subject: str) -> tuple[Instance, Name]:
    """The instance and the register that a subject names. Raises UnreadableError for a subject that is none."""
    parts = subject.split(".", 5)
    if len(parts) != 6 or parts[0] != "saga" or not all(parts) or not is_instance_id(parts[3]):
        raise UnreadableError(f"{subject!r} is not the subject of a register")
    _, namespace, saga, instance, step, register = parts
    return Instance(namespace, saga, instance), Name(step, register)


def saga_name_of(subject: str) -> str:
    """The name of the saga whose log a subject belongs to, whatever else it may be."""
    return (subject.split(".", 3) + [""] * 3)[2]


LITERAL_ID = re.compile(r"(?!h-)[A-Za-z0-9_-]{1,64}")
"""A token of a subject. 64 characters hold a UUID or a SHA-256 in hex."""
DIGEST_ID = re.compile(r"h-[a-z2-7]{26}")
"""Made from a key that is no literal id (see `commands`)."""


def is_instance_id(text: str) -> bool:
    """Whether an instance may be called so; nothing else ever gets into a subject."""
    return bool(LITERAL_ID.fullmatch(text) or DIGEST_ID.fullmatch(text))


# -- values ------------------------------------------------------------------------------------------------------


class Value(Struct, frozen=True, tag_field="value"):
    """What a register holds. The tag is the value's name in the log."""


class Start(Value, frozen=True, tag="start"):
    """`_.start`: the event that started the instance. `digest` is of the canonical JSON of type and data."""

    event: str
    id: str
    source: str
    digest: str
    data: Raw = NULL
    time: str = ""


class Started(Value, frozen=True, tag="started"):
    """`begin`: the step runs, on behalf of the delivery of that subject.

    Of an open step it decides nothing: it only guards the call of an attempt that is late, and says since when.
    """

    delivery: str


class Skipped(Value, frozen=True, tag="skipped"):
    """`begin`: the step will not run, since it is dead or its `when` was false."""

    delivery: str
    because: Literal["dead", "when"]


FailureKind = Literal["refused", "unknown", "expression"]
"""How an action failed, for people: it did nothing, as the app says; nobody knows what it did; or it was never called,
since an expression of the saga cannot be evaluated. The protocol treats them alike."""


class Cause(Struct, frozen=True, omit_defaults=True):
    """Why a saga was aborted: a step's failure, or a cancel (then without a step)."""

    kind: FailureKind | Literal["cancelled"]
    reason: str = ""
    step: str = ""

    def __post_init__(self) -> None:
        """However it was made, or read: it goes into several registers, and along with every compensation."""
        force_setattr(self, "reason", cut(self.reason))


class Cancelled(Value, frozen=True, tag="cancelled"):
    """`begin`: the step must not run, since the saga is being aborted."""

    cause: Cause


class Done(Value, frozen=True, tag="done", omit_defaults=True):
    """`end`: the action succeeded; this event, with this data, is announced. `deliveries`: how many it took.

    `begun`: when the attempt began that ended it, by the server's time, in seconds since the epoch.

    The wire calls them `attempts`, as in `Failed` and `Undone`: a word that means something else by now. `called`: how
    often the app was called for the action, as far as the process knows that ended it; calls that reached nobody do not
    count.
    """

    event: str
    data: Raw = NULL
    deliveries: int = field(default=1, name="attempts")
    called: int = 1
    begun: float = 0.0


class Satisfied(Value, frozen=True, tag="skipped"):
    """`end`: the step was skipped by its `when` and counts as the last of its events, with null data.

    Not called by its word on the wire, since a `begin` that is `Skipped` may also end dead.
    """

    event: str


class Dead(Value, frozen=True, tag="dead"):
    """`end`: no event that this step listens to will come."""


class Failed(Value, frozen=True, tag="failed", omit_defaults=True):
    """`end`: the action did not succeed.

    `deliveries`, `called`, `begun`: as in `Done`. It may have failed without any call.
    """

    kind: FailureKind
    reason: str
    deliveries: int = field(default=1, name="attempts")
    called: int = 1
    begun: float = 0.0

    def __post_init__(self) -> None:
        force_setattr(self, "reason", cut(self.reason))


class Committed(Value, frozen=True, tag="committed"):
    """`_.outcome`: the saga stands. Written only where no pivot says so."""


class Aborted(Value, frozen=True, tag="aborted"):
    """`_.outcome`: the saga is undone. Written only where no pivot says so."""

    cause: Cause


class Notice(Value, frozen=True, tag="aborted"):
    """`_.abort`: tells participants what the outcome already says.

    Not called by its word on the wire, which is the outcome's: `Aborted` decides, this only tells.
    """

    cause: Cause


class Undone(Value, frozen=True, tag="done", omit_defaults=True):
    """`compensation`: the app has undone the action. `deliveries`, `called`: as in `Done`, of the compensation.

    Not called by its word on the wire, since `Done` is an action.
    """

    deliveries: int = field(default=1, name="attempts")
    called: int = 1


class Nothing(Value, frozen=True, tag="nothing"):
    """`compensation`: there was nothing to undo."""


class Completed(Value, frozen=True, tag="completed"):
    """`_.finish` of a committed saga with a pivot and several sinks."""


class Compensated(Value, frozen=True, tag="compensated"):
    """`_.finish` of an aborted saga of which several steps may be undone last."""


class Absent(Value, frozen=True, tag="absent"):
    """A marker: at this delivery (its subject), this register (its subject) was not there."""

    delivery: str
    awaited: str


class Origin(NamedTuple):
    """Where a register comes from: carried by each one, so that no reader needs the start.

    `start_time` is the server's time of `_.start` in seconds since the epoch; `_.start` itself carries neither it nor
    `start_sequence` (0 until read).
    """

    run: str
    start_sequence: int
    start_time: float
    revision: str
    pod: str
    attempt_id: str


class Register(NamedTuple):
    """A register as it stands in the log. `time` is the server's, in seconds since the epoch.

    `trace`: the `traceparent` that it was written under; empty for none.
    """

    name: Name
    value: Value
    sequence: int
    time: float
    origin: Origin
    participant: str = ""
    trace: str = ""
