"""What fails at this sidecar just now, and how many instances are parked by it: core's `standing` says which.

For people: metrics, logs, and what the API shows; and for the pace of retries. Nothing else depends on it.
Another replica may have taken a delivery over meanwhile, so a trouble that is not renewed is forgotten.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from time import monotonic
from typing import NamedTuple

from sagamesh.log.registers import Instance
from sagamesh.protocol.view.standing import Trouble, is_parked
from sagamesh_sidecar.metrics import Metrics

FORGET = 300.0
"""Seconds without news: more than the longest delay between two attempts, see `retry_budget`."""

TroubleKey = tuple[str, str]
"""A delivery's subject, and the own step that does not go on (empty: the whole delivery)."""


class Noted(NamedTuple):
    """A trouble of an instance. `failures`: calls in a row. `noted`: when it was last, on the monotonic clock."""

    instance: Instance
    trouble: Trouble
    failures: int
    noted: float


class Parking:
    """The troubles at hand. Taking note costs the same, however many there are. `now`: a clock in seconds."""

    def __init__(self, metrics: Metrics, *, now: Callable[[], float] = monotonic) -> None:
        self.metrics = metrics
        self._now = now
        self._noted: dict[TroubleKey, Noted] = {}
        self._parked: Counter[Instance] = Counter()
        self._sagas: Counter[str] = Counter()

    def note(self, key: TroubleKey, instance: Instance, trouble: Trouble, *, called: bool = True) -> bool:
        """A step does not go on. `called`: its app was. True where it is parked from now on."""
        before = self._noted.get(key)
        failures = (before.failures if before else 0) + called
        self._noted[key] = Noted(instance, trouble, failures, self._now())
        was_parked, parked = before is not None and is_parked(before.trouble), is_parked(trouble)
        self._count(instance, parked - was_parked)  # at once, for a gauge that falls and rises would be seen as both
        return parked and not was_parked

    def clear(self, key: TroubleKey) -> None:
        """It goes on."""
        self._forget(key)

    def failures(self, key: TroubleKey) -> int:
        """How many calls have failed there in a row."""
        noted = self._noted.get(key)
        return noted.failures if noted else 0

    def trouble(self, key: TroubleKey) -> Trouble | None:
        """What failed there when it was noted last, if it has not gone on since."""
        noted = self._noted.get(key)
        return noted.trouble if noted else None

    def of(self, instance: Instance) -> tuple[Trouble, ...]:
        """What fails of one instance."""
        return tuple(noted.trouble for noted in self._noted.values() if noted.instance == instance)

    def sweep(self) -> None:
        """Forget what nobody has noted lately."""
        oldest = self._now() - FORGET
        for key in [key for key, noted in self._noted.items() if noted.noted < oldest]:
            self._forget(key)

    def _forget(self, key: TroubleKey) -> None:
        noted = self._noted.pop(key, None)
        if noted is not None and is_parked(noted.trouble):
            self._count(noted.instance, -1)

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
