"""One attempt: the handling of one delivery, by one process, for one own step.

A generator without I/O between `decision` and whoever can carry operations out (the relay on NATS, the simulation in
memory). It turns effects into four plain operations and knows what their results prove:

- a write that timed out is *unknown*: it is written again, with the same attempt id;
- a write that was refused is read until it is there, since an absent read proves nothing;
- a marker that stands, new or old, proves an absence; a guard that is refused proves a presence;
- 10164 (a write is in flight) proves nothing: again.

Whoever carries the operations out owes it this, in this order:

1. *One attempt id for each generator*, never used before: in `Known`, and in every register that is written for it,
   however often that is tried. By it an attempt knows its own writes.
2. *Say how old the delivery is*, by the server's time: `Known.late` if it came before, or is older than a minute.
3. *One operation after the other*, and its result before the next: a register stands before what follows from it.
4. *A write that got no clear answer is UNKNOWN.* EXISTS and GUARD are the server's own words, and nothing else is.
5. *A log that does not answer is asked again*: a Fetch that finds nothing says that the log has said so.
6. *With each result say whether the lease may be lost*: as soon as it may be, and for good. No call begins then. One
   that runs is let finish, since the app has been asked.
7. *Tell the answer as it came*, and the server's time: who saw no response does not know what the app did.
8. *Ack last*, when every own step of the delivery is settled, as `settle` says: then all that it had to write stands.
   Else nak, but not with a lost lease, for the delivery is another's.

It may be dropped between any two operations, by a crash or an error: the delivery comes again, and another attempt goes
on. Whatever is not in this list may fail, come twice, or come long after.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from enum import Enum, auto
from typing import Any, Generic, TypeVar

from msgspec import Struct

from sagamesh.log import registers
from sagamesh.log.registers import Absent, Done, Name, Register, Value
from sagamesh.protocol.answers import Answer, is_away, why_away
from sagamesh.protocol.decision import decide
from sagamesh.protocol.effects import Ack, Call, Delivery, Known, Nak, Prove, Read, Tell, Write
from sagamesh.rules.compiled import OwnStep, Rules

READS_UNTIL_PRESENT = 30
"""How often a register that must be there is looked for before the delivery is given back: twenty seconds of pauses. No
copy of a log in order lags so far behind."""
WRITES_UNTIL_KNOWN = 25
"""How often a write is repeated whose result is unknown, before the delivery is given back: a quarter of a minute of
pauses, and the log's own patience."""


class Fetch(Struct, frozen=True):
    """Read registers. Gives those that were found, as a tuple of Register."""

    names: tuple[Name, ...]


class Put(Struct, frozen=True):
    """Write a register once, with the attempt's id.

    `absent`: only while that other register is not there. `while_started`: only while the instance's `_.start` stands
    where it stood. Gives the Register that was stored, or why it was not, as a WriteRefused or TooLarge.
    """

    name: Name
    value: Value
    absent: Name | None = None
    while_started: bool = False


class WriteRefused(Enum):
    """Why a Put stored nothing, as far as one knows."""

    EXISTS = auto()
    """The register is there (10077)."""
    GUARD = auto()
    """What `absent` or `while_started` asks for does not hold (10071)."""
    UNKNOWN = auto()
    """No reply, a write in flight (10164), or no room: it may be stored or not."""


class TooLarge(Struct, frozen=True):
    """What a Put gives whose register the log will never take, with its headers: its size, and the most, in bytes."""

    size: int
    most: int

    def __str__(self) -> str:
        return f"the register would have {self.size} bytes, and the log takes {self.most}"


class Pause(Struct, frozen=True):
    """Wait a little, longer with each `turn` (from 0), and never in step with others. Gives None."""

    turn: int


class Reply(Struct, frozen=True):
    """What a Call gives: the answer, and the server's time when it came, in seconds since the epoch.

    `called`: how often the app was called for the step so far, as far as one knows; see `Known`.
    """

    answer: Answer
    time: float
    called: int = 1


Operation = Fetch | Put | Pause | Call | Tell
Given = tuple[Register, ...] | Register | WriteRefused | TooLarge | Reply | None
"""What the operations give, each as it says."""

T = TypeVar("T")


class Result(Struct, Generic[T], frozen=True):
    """What an operation gave, and what has become true meanwhile.

    `lease_lost`: the delivery may be in another replica's hands by now, so no call may begin.
    """

    given: T
    lease_lost: bool = False


Steps = Generator[Operation, Result[Any], T]
"""A part of an attempt: yields operations, is sent the result of each, returns a T."""


STUCK = "the log neither takes a register nor shows it"


class LogStuckError(Exception):
    """The log neither takes a register nor shows it just now: nothing is decided, and another attempt goes on."""

    def __init__(self, why: str = STUCK) -> None:
        super().__init__(why)


def attempt(rules: Rules, known: Known, delivery: Delivery, step: OwnStep) -> Steps[Ack | Nak]:
    """Handle a delivery for one own step. Returns how it was settled."""
    known.registers[delivery.register.name] = delivery.register
    try:
        while True:
            for effect in decide(rules, known, delivery, step):
                match effect:  # in the order of a plain step, since each that is passed over takes its time
                    case Write():
                        yield from write(known, effect)
                    case Call():
                        yield from _call(known, step, effect)
                    case Ack() | Nak():
                        return effect
                    case Read(names=names, present=False):
                        yield from _fetch(known, names)
                    case Read(names=names):
                        yield from read_until_present(known, *names)
                    case Prove(awaited=awaited):
                        yield from _prove(known, delivery, step, awaited)
                    case Tell():
                        take(known, (yield effect))
    except LogStuckError as stuck:
        # After a quarter of a minute in vain another second is little, and a log that is short of air gets some.
        return Nak(1.0, str(stuck))


def settle(results: Sequence[Ack | Nak], steps: int) -> Ack | Nak | None:
    """How a delivery is settled that concerns so many own steps: acked when all of them are, else the soonest nak.

    None while some of them are still being handled.
    """
    if len(results) < steps:
        return None
    naks = [result for result in results if isinstance(result, Nak)]
    return min(naks, key=lambda nak: max(nak.delay, nak.at_least)) if naks else Ack()


def take(known: Known, result: Result[T]) -> T:
    """What an operation gave. What has become true meanwhile is known from now on."""
    known.lease_lost = result.lease_lost
    return result.given


def write(known: Known, effect: Write) -> Steps[None]:
    """Write once, whatever it takes, and learn what stands; or that the app's answer is more than the log takes."""
    stored = yield from _put(known, Put(effect.name, effect.value, while_started=effect.guarded))
    if isinstance(stored, Register):
        known.registers[effect.name] = stored
    elif stored is WriteRefused.EXISTS:
        yield from read_until_present(known, effect.name)
    elif not isinstance(stored, TooLarge):
        known.gone = True
    elif isinstance(effect.value, Done):
        known.unstorable = str(stored)
    else:  # all others are small: then the log is set up so that nothing works
        raise LogStuckError(str(stored))


def _prove(known: Known, delivery: Delivery, step: OwnStep, awaited: Name) -> Steps[None]:
    """Write the marker that only stands where `awaited` is absent; or learn that it is there."""
    instance = delivery.instance
    marker = registers.marker(step.name, delivery.register.sequence, awaited)
    stored = yield from _put(known, Put(marker, Absent(delivery.subject, instance.subject(awaited)), absent=awaited))
    if stored is WriteRefused.GUARD:
        yield from read_until_present(known, awaited)
    elif isinstance(stored, TooLarge):
        raise LogStuckError(str(stored))
    else:  # stored now, or by an earlier attempt at this delivery
        known.absent.add(awaited)


def _put(known: Known, put: Put) -> Steps[Register | WriteRefused | TooLarge]:
    """The same write again, until it is known what became of it."""
    for turn in range(WRITES_UNTIL_KNOWN):
        stored: Register | WriteRefused | TooLarge = take(known, (yield put))
        if stored is not WriteRefused.UNKNOWN:
            return stored
        take(known, (yield Pause(turn)))
    raise LogStuckError


def read_until_present(known: Known, *names: Name) -> Steps[None]:
    """Look for registers that must be there until each is found."""
    for turn in range(READS_UNTIL_PRESENT):
        yield from _fetch(known, tuple(name for name in names if name not in known.registers))
        if all(name in known.registers for name in names):
            return
        take(known, (yield Pause(turn)))
    raise LogStuckError


def _fetch(known: Known, names: tuple[Name, ...]) -> Steps[None]:
    present: tuple[Register, ...] = take(known, (yield Fetch(names)))
    for register in present:
        known.registers[register.name] = register
    known.unseen.update(name for name in names if name not in known.registers)


def _call(known: Known, step: OwnStep, call: Call) -> Steps[None]:
    reply: Reply = take(known, (yield call))
    known.answer, known.called = reply.answer, reply.called
    if is_away(reply.answer):
        known.why_away = why_away(reply.answer, call.path)
    begun = known.registers.get(step.begin)
    known.within_passed = reply.time - (begun.time if begun else known.began) >= step.rules.action.within
