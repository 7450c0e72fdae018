"""When what is given back comes again: so that however many wait, they hold up nobody who could go on.

The server hands out again what is due before it hands out what is new. So a thousand instances that fail, each retried
at its own pace, would take every slot for ever. Here each retry has a cost, in seconds of this sidecar, and delays grow
with the sum of the costs of all that wait, until retries take no more than their share.

Knows nothing of sagas: the delay that one of them asks for comes from core, and is only ever stretched.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from time import monotonic
from typing import NamedTuple

from sagamesh.protocol.effects import Nak

RETRIES = 200.0
"""Retries in a second, at most: a fraction of what a sidecar can do, on a small machine, too."""
HELD = 0.5
"""Seconds in hand that count at most, where it was not the app that took them: what waits for the log costs nothing."""
LONGEST = 240.0
"""Seconds that a delay is stretched to at most: `parking` forgets what has not come again in a little more."""
OVERDUE = 30.0
"""Seconds after its time when a delivery has gone to another replica, or is gone."""


class Waiting(NamedTuple):
    """A delivery that was given back: what its retry costs, and when it is due on the monotonic clock."""

    cost: float
    due: float


class RetryBudget:
    """`slots`: deliveries in hand, and calls to the app, at once. Retries may take half of them.

    `now`, `uniform`: a clock in seconds, and where chance is from.
    """

    def __init__(
        self,
        slots: int,
        *,
        now: Callable[[], float] = monotonic,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._now = now
        self._uniform = uniform
        self._share = max(1.0, slots / 2)
        self._waiting: dict[str, Waiting] = {}
        self._sum = 0.0

    def came(self, subject: str) -> None:
        """A delivery is in hand, and waits no more."""
        waiting = self._waiting.pop(subject, None)
        if waiting is not None:
            self._sum = self._sum - waiting.cost if self._waiting else 0.0

    def delay(self, subject: str, nak: Nak, *, held: float, spent: float) -> float:
        """Seconds until a delivery comes again that is given back.

        `held`: how many it was in hand, which is longer where the machine is busy; `spent`: how many the app took.
        """
        self.came(subject)
        cost = max(1 / RETRIES, spent / self._share, min(held, HELD) / self._share)
        self._sum += cost
        stretched = min(LONGEST, 2 * self._sum)  # for on average, half of it is drawn
        drawn = max(nak.at_least, self._uniform(0.0, max(nak.delay, stretched)))
        self._waiting[subject] = Waiting(cost, self._now() + drawn)
        return drawn

    def sweep(self) -> None:
        """Forget what does not come any more."""
        late = self._now() - OVERDUE
        for subject in [subject for subject, waiting in self._waiting.items() if waiting.due < late]:
            self.came(subject)
