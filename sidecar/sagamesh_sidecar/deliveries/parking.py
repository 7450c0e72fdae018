"""What fails at this sidecar just now, and which sagas are parked by it: failing for longer than `parkAfter`.

For people: metrics, logs, and the reasons that the API shows; and for the pace of retries. Nothing else depends on it.
Another replica may have taken a delivery over meanwhile, so a trouble that is not renewed is forgotten.
"""

from __future__ import annotations

from collections import Counter
from time import monotonic
from typing import NamedTuple

from sagamesh.log.registers import Instance
from sagamesh_sidecar.metrics import Metrics

FORGET = 300.0
"""Seconds without news: more than the longest delay between two attempts, see `retry_budget`."""

TroubleKey = tuple[str, str]
"""A delivery's subject, and the own step that does not go on (empty: the whole delivery)."""


class Trouble(NamedTuple):
    """Why a step of an instance does not go on. `seen`: when it was noted last, on the monotonic clock."""

    instance: Instance
    step: str
    reason: str
    failures: int
    parked: bool
    seen: float


class Parking:
    """The troubles at hand. Taking note costs the same, however many there are."""

    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics
        self._troubles: dict[TroubleKey, Trouble] = {}
        self._parked: Counter[Instance] = Counter()
        self._sagas: Counter[str] = Counter()

    def note(
        self, key: TroubleKey, instance: Instance, reason: str, *, called: bool = True, parked: bool = False
    ) -> bool:
        """A step does not go on. `called`: its app was. True where it is parked from now on."""
        before = self._forget(key)
        failures = (before.failures if before else 0) + called
        self._troubles[key] = Trouble(instance, key[1], reason, failures, parked, monotonic())
        if parked:
            self._count(instance, 1)
        return parked and not (before is not None and before.parked)

    def clear(self, key: TroubleKey) -> None:
        """It goes on."""
        self._forget(key)

    def failures(self, key: TroubleKey) -> int:
        """How many calls have failed there in a row."""
        trouble = self._troubles.get(key)
        return trouble.failures if trouble else 0

    def of(self, instance: Instance) -> tuple[Trouble, ...]:
        """What fails of one instance."""
        return tuple(trouble for trouble in self._troubles.values() if trouble.instance == instance)

    def sweep(self) -> None:
        """Forget what nobody has noted lately."""
        oldest = monotonic() - FORGET
        for key in [key for key, trouble in self._troubles.items() if trouble.seen < oldest]:
            self._forget(key)

    def _forget(self, key: TroubleKey) -> Trouble | None:
        trouble = self._troubles.pop(key, None)
        if trouble is not None and trouble.parked:
            self._count(trouble.instance, -1)
        return trouble

    def _count(self, instance: Instance, change: int) -> None:
        """Tell the metrics where an instance is parked now, or no more."""
        before = self._parked[instance] > 0
        self._parked[instance] += change
        now = self._parked[instance] > 0
        if not now:
            del self._parked[instance]
        if before != now:
            self._sagas[instance.saga] += 1 if now else -1
            self.metrics.parked(instance.saga, self._sagas[instance.saga])
