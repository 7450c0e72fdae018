"""Who speaks in a conversation: a generator of the protocol under way, and what was said of it.

`talk` lets them speak, one operation after the other.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from sagamesh.log.registers import Name
from sagamesh.protocol.attempt import Operation, Steps
from sagamesh.protocol.effects import Known
from sagamesh.simulation.faults import Faults
from sagamesh.simulation.world import Handling, Task

FATES = {
    "lost": Faults(lost_request=1.0),
    "unconfirmed": Faults(lost_reply=1.0),
    "held up": Faults(ghost=1.0),
    "unguarded": Faults(unguarded=1.0),
}
"""What may become of a write. Each of these strikes for certain, so that there is nothing to choose."""


class Conditions:
    """What was said with a command: what happens to its writes and reads, where it stops, what it knows.

    `until`: the register before whose next reading or writing it stops, after so many that it may `let_pass`.
    """

    def __init__(self) -> None:
        self.fates: dict[Name, list[str]] = {}
        self.unseen: Counter[Name] = Counter()
        self.until: Name | None = None
        self.let_pass = 0
        self.knows: list[Name] = []
        self.late = False
        self.app_away = False
        self.lease_lost = False


class Speaker(Task):
    """A generator under way. `pending` is where it stopped."""

    __slots__ = ("conditions", "pending", "replica")

    def __init__(
        self,
        generator: Steps[Any],
        known: Known,
        participant: str,
        conditions: Conditions,
        handling: Handling | None = None,
        step: str = "",
    ) -> None:
        super().__init__(generator, known, participant, handling, step)
        self.conditions = conditions
        self.pending: Operation | None = None
        self.replica = handling.replica if handling else 1
