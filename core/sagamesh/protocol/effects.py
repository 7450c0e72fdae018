"""What a decision may ask for, and what it knows.

`decision` returns effects; `attempt` executes them as a few plain operations; the relay and the simulation carry those
out. Nothing here decides.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct
from msgspec.structs import force_setattr

from sagamesh.log.registers import Instance, Name, Register, Value
from sagamesh.protocol.answers import APP_AWAY, Answer
from sagamesh.text import cut

CallKind = Literal["action", "compensation"]
LEASE_LOST = "its lease was lost before the call: the process stood still, or is short of CPU"
"""Why nobody is called, where another replica may be at work."""


class Read(Struct, frozen=True):
    """Look at these registers. What is found is final; what is not found proves nothing.

    `present`: something that is known implies that they are there, so they are looked for until they are found.
    """

    names: tuple[Name, ...]
    present: bool = False


class Write(Struct, frozen=True):
    """Write a register, and learn what stands in it afterwards, mine or somebody else's.

    `guarded`: only while the instance's `_.start` is there. A delivery that is late may speak of an instance that was
    finished and deleted since, and deletion makes registers writable again.
    """

    name: Name
    value: Value
    guarded: bool = False


class Prove(Struct, frozen=True):
    """Learn either what stands in a register or, by a marker that the server takes only then, that it is absent."""

    awaited: Name


class Call(Struct, frozen=True):
    """POST to the app, and learn its answer. `end` is said with a compensation. `timeout` in seconds.

    `caused_by`: the id of the event that made it due, the same however often it is made.
    """

    kind: CallKind
    path: str
    body: bytes
    timeout: float
    event: str
    end: Literal["done", "failed"] | None = None
    caused_by: str = ""


class Ack(Struct, frozen=True):
    """The step is settled for this delivery."""


class Nak(Struct, frozen=True):
    """Come back after a delay drawn from 0 to `delay` seconds, but not before `at_least`.

    The draw keeps many that failed together from coming back together. `reason` says what fails; empty: only a wait.
    `implausible`: the register that nobody honest has written, if that is what is wrong. `waits`: what `reason` says
    is waited for, and no failure.
    """

    delay: float
    reason: str = ""
    at_least: float = 0.0
    implausible: str = ""
    waits: bool = False

    def __post_init__(self) -> None:
        """It is logged, shown by the API, and kept for as long as the trouble lasts."""
        force_setattr(self, "reason", cut(self.reason))


class Tell(Struct, frozen=True):
    """Tell people, and count, that an expression could not be evaluated. Nothing follows from it.

    `place`: the field in which it stands, such as `emits.when`. It stands beside what is done instead; after a Call,
    since a lease may be lost with every operation, and then no call may begin.
    """

    place: str
    reason: str

    def __post_init__(self) -> None:
        force_setattr(self, "reason", cut(self.reason))


Effect = Read | Write | Prove | Call | Ack | Nak | Tell
Effects = tuple[Effect, ...]


class Delivery(Struct):
    """A register handed to a participant that listens to it, for the `delivered`-th time."""

    instance: Instance
    register: Register
    delivered: int = 1
    subject: str = ""

    def __post_init__(self) -> None:
        self.subject = self.instance.subject(self.register.name)


class Known(Struct):
    """What one attempt knows: grown by `attempt`, only read by `decision`.

    `registers` are final. `absent` were proven absent at this delivery. `unseen` were looked for and not found, which
    proves nothing. `late`: a redelivery, or older than a minute. `lease_lost`: another replica may be at work.
    `app_away`: the app is not to be called, since nobody listens, or since it said 503 there: `why_away` says which.
    `failures`: how often this step's calls for this delivery failed
    before, `called`: how often the app was called for it, this attempt included, both as far as this process knows.
    `began`: when the attempt began, by the server's time. `within_passed`: the action's time is over. `gone`: the
    instance was deleted. `unstorable`: why the log takes no register with the app's answer in it, if it does not.
    """

    attempt_id: str
    registers: dict[Name, Register] = {}
    absent: set[Name] = set()
    unseen: set[Name] = set()
    answer: Answer | None = None
    late: bool = False
    lease_lost: bool = False
    app_away: bool = False
    why_away: str = APP_AWAY
    failures: int = 0
    called: int = 0
    began: float = 0.0
    within_passed: bool = False
    gone: bool = False
    unstorable: str = ""

    def value(self, name: Name) -> Value | None:
        """What stands in a register, as far as this attempt knows."""
        register = self.registers.get(name)
        return None if register is None else register.value

    def mine(self, name: Name) -> bool:
        """Whether this very attempt won the write of a register."""
        register = self.registers.get(name)
        return register is not None and register.origin.attempt_id == self.attempt_id
