"""One instance's registers and deliveries, as JetStream keeps them, with the replies that a client may see.

Write-once subjects are enforced where the message is stored; everything else may lie: replies get lost, writes arrive
long after, reads are stale, deliveries repeat. A guard is looked at where a write is proposed, so one may fail open:
nothing wrong may be done then, but the instance may stand still. It is `misled`.
"""

from __future__ import annotations

from collections.abc import Mapping

from sagamesh.log.registers import START, Name, Origin, Register
from sagamesh.protocol.attempt import Put, WriteRefused
from sagamesh.rules.compiled import Rules
from sagamesh.simulation.chooser import Chooser
from sagamesh.simulation.faults import Faults


class PendingDelivery:
    """A register on its way to one participant. `hands` counts the attempts at it that run just now.

    `held`: how many registers there were when it was handed back for people to look at; 0: it was not.
    """

    __slots__ = ("acked", "delivered", "hands", "held", "participant", "register")

    def __init__(self, participant: str, register: Register) -> None:
        self.participant = participant
        self.register = register
        self.delivered = 0
        self.hands = 0
        self.held = 0
        self.acked = False


class Broker:
    """The log of one instance, and who is still to hear of what."""

    def __init__(self, rules: Mapping[str, Rules], chooser: Chooser, faults: Faults) -> None:
        self.rules = rules
        self.chooser = chooser
        self.faults = faults
        self.registers: dict[Name, Register] = {}
        self.sequence = 0
        self.deliveries: list[PendingDelivery] = []
        self.ghosts: list[tuple[Put, str, str]] = []
        self.writes = 0
        self.misled = False

    def put(self, put: Put, attempt: str, participant: str) -> Register | WriteRefused:
        """Store or refuse, and reply, or not."""
        self.writes += 1
        chooser, faults = self.chooser, self.faults
        if faults.lost_request and chooser.random() < faults.lost_request:
            return WriteRefused.UNKNOWN
        if faults.ghost and chooser.random() < faults.ghost:
            self.ghosts.append((put, attempt, participant))
            return WriteRefused.UNKNOWN
        result = self.store(put, attempt, participant)
        if faults.lost_reply and chooser.random() < faults.lost_reply:
            return WriteRefused.UNKNOWN
        return result

    def store(self, put: Put, attempt: str, participant: str) -> Register | WriteRefused:
        """What the server does with a write. Which refusal comes first, when two apply, differs between versions."""
        exists = put.name in self.registers
        guarded = self._is_there(put) or (put.while_started and START not in self.registers)
        if exists and guarded:
            return self.chooser.choice((WriteRefused.EXISTS, WriteRefused.GUARD))
        if exists:
            return WriteRefused.EXISTS
        if guarded:
            return WriteRefused.GUARD
        self.sequence += 1
        origin = Origin("run", 1, 0.0, "revision", "pod", attempt)
        register = Register(put.name, put.value, self.sequence, float(self.sequence), origin, participant)
        self.registers[put.name] = register
        self.deliveries += [
            PendingDelivery(name, register) for name, rules in self.rules.items() if rules.concerned(put.name)
        ]
        return register

    def _is_there(self, put: Put) -> bool:
        """Whether what a marker says to be absent is there, as far as its guard sees."""
        if put.absent not in self.registers:
            return False
        if not self.faults.unguarded or self.chooser.random() >= self.faults.unguarded:
            return True
        self.misled = self.misled or put.name not in self.registers
        return False

    def let_ghost_in(self) -> None:
        """A write that was given up for lost arrives."""
        put, attempt, participant = self.ghosts.pop(self.chooser.randrange(len(self.ghosts)))
        self.store(put, attempt, participant)

    def fetch(self, names: tuple[Name, ...]) -> tuple[Register, ...]:
        """What is there of these registers, as far as the reader's copy got."""
        stale, chooser = self.faults.stale, self.chooser
        there = (self.registers[name] for name in names if name in self.registers)
        return tuple(register for register in there if not (stale and chooser.random() < stale))
