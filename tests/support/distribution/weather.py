"""What may go wrong on the way to NATS and Kubernetes, and how likely that is. All by one injected chance."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from random import Random


@dataclass
class Weather:
    """Probabilities of each request. It may change at any time; all zero is calm.

    `lost`: it does not arrive. `unanswered`: it is carried out, and nobody hears so. `crash`: whoever asks ends there.
    `slow`: it takes seconds, at most `slowest`.
    """

    chance: Random
    lost: float = 0.0
    unanswered: float = 0.0
    crash: float = 0.0
    slow: float = 0.0
    slowest: float = 2.0

    def calm(self) -> None:
        """From now on nothing goes wrong."""
        self.lost = self.unanswered = self.crash = self.slow = 0.0

    def draws(self, probability: float) -> bool:
        """Whether what has that probability happens now."""
        return probability > 0 and self.chance.random() < probability

    async def travel(self) -> None:
        """One way."""
        slow = self.draws(self.slow)
        await asyncio.sleep(self.chance.uniform(0.2, self.slowest) if slow else self.chance.uniform(0.001, 0.03))
