"""What may go wrong between a sidecar, its log and its app, and how likely that is. All by one injected chance."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, fields
from random import Random


@dataclass
class Storm:
    """Probabilities; all zero is calm.

    Of a write: `lost` (it does not arrive), `unanswered` (nobody hears that it did), `ghost` (it arrives long after).
    Of a read: `stale` (what is new is not found). Of an ack, nak, or sign of life: `unheard`.
    Of a call: `reset` (with or without effect), `slow` (it takes seconds). Of whatever travels: `delayed`, by seconds.
    """

    chance: Random
    lost: float = 0.0
    unanswered: float = 0.0
    ghost: float = 0.0
    stale: float = 0.0
    unheard: float = 0.0
    reset: float = 0.0
    slow: float = 0.0
    delayed: float = 0.0

    def rise(self) -> None:
        """Each is off in half of the storms, and anywhere up to its highest rate in the others."""
        for name, most in MOST.items():
            setattr(self, name, self.chance.choice((0.0, most * self.chance.random())))

    def calm(self) -> None:
        """From now on nothing goes wrong."""
        for field in fields(self)[1:]:
            setattr(self, field.name, 0.0)

    def draws(self, probability: float) -> bool:
        """Whether what has that probability happens now."""
        return probability > 0 and self.chance.random() < probability

    def travel_time(self) -> float:
        """Seconds of one way."""
        return self.chance.uniform(0.2, 3.0) if self.draws(self.delayed) else self.chance.uniform(0.0005, 0.01)

    async def travel(self) -> None:
        """One way."""
        await asyncio.sleep(self.travel_time())


MOST = {
    "lost": 0.2,
    "unanswered": 0.2,
    "ghost": 0.1,
    "stale": 0.5,
    "unheard": 0.3,
    "reset": 0.3,
    "slow": 0.3,
    "delayed": 0.1,
}
"""Such that most runs see several of them, and nearly all still get somewhere."""
