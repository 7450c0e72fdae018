"""How often the app was called for what has not ended yet, as far as this process knows.

For people, whom the API shows it, and for the register that ends a step; nothing is decided by it. Other replicas count
their own calls, and may have ended a step meanwhile, so what has no news is forgotten. What fails, and for how long, is
`parking`'s.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from sagamesh.log.registers import Instance
from sagamesh.protocol.effects import CallKind
from sagamesh_sidecar.deliveries.parking import FORGET, TroubleKey


class CallCount:
    """The calls for one step on behalf of one delivery.

    `made`: those that reached the app. `failed`: those among them that have to be made again. `under_way`: those that
    have not come back yet. `seen`: when an attempt took it up last, on the monotonic clock.
    """

    __slots__ = ("failed", "instance", "kind", "made", "seen", "step", "under_way")

    def __init__(self, instance: Instance, step: str, kind: CallKind) -> None:
        self.instance = instance
        self.step = step
        self.kind: CallKind = kind
        self.made = 0
        self.failed = 0
        self.under_way = 0
        self.seen: float


class Tally:
    """The counts of all that is at work, or was and will be again. `now`: a clock in seconds."""

    def __init__(self, *, now: Callable[[], float] = monotonic) -> None:
        self._now = now
        self._counts: dict[TroubleKey, CallCount] = {}

    def take_up(self, key: TroubleKey, instance: Instance, kind: CallKind) -> CallCount:
        """The count of a step that an attempt is at, with what earlier ones have made."""
        count = self._counts.get(key)
        if count is None:
            count = self._counts[key] = CallCount(instance, key[1], kind)
        count.seen = self._now()
        return count

    def put_down(self, key: TroubleKey, *, ended: bool) -> None:
        """The attempt is over. Kept is what was made for a step that has not ended, and what another attempt is at."""
        count = self._counts.get(key)
        if count is not None and (ended or not count.made) and not count.under_way:
            del self._counts[key]

    def of(self, instance: Instance) -> dict[tuple[str, CallKind], int]:
        """The calls for an instance, those under way included."""
        counts: dict[tuple[str, CallKind], int] = {}
        for count in self._counts.values():
            if count.instance == instance:
                place = count.step, count.kind
                counts[place] = counts.get(place, 0) + count.made + count.under_way
        return counts

    def sweep(self) -> None:
        """Forget what no attempt has taken up lately."""
        oldest = self._now() - FORGET
        for key in [key for key, count in self._counts.items() if count.seen < oldest and not count.under_way]:
            del self._counts[key]
