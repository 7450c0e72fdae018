"""What fails at this sidecar just now, and which sagas are parked by it: failing for longer than `parkAfter`.

For people: metrics, logs, and the reasons that the API shows. Nothing is decided by it. Another replica may have taken
a delivery over meanwhile, so an entry that is not renewed is forgotten.
"""

from __future__ import annotations

from collections import Counter
from time import monotonic
from typing import NamedTuple

from sagamesh.registers import Instance
from sagamesh_sidecar.meters import Meters

FORGET = 180.0
"""Seconds without news: three times the longest delay between two attempts."""


class Trouble(NamedTuple):
    """Why a step of an instance does not go on. `seen`: when it failed last, on the monotonic clock."""

    instance: Instance
    step: str
    reason: str
    parked: bool
    seen: float


class Parking:
    """The troubles at hand, by the delivery's subject and the step."""

    def __init__(self, meters: Meters) -> None:
        self.meters = meters
        self._troubles: dict[tuple[str, str], Trouble] = {}
        self._reported: set[str] = set()

    def note(self, subject: str, instance: Instance, step: str, *, reason: str, parked: bool) -> bool:
        """Take note of how a step was settled: without a reason, well. True where it is parked from now on."""
        key = (subject, step)
        before = self._troubles.pop(key, None)
        if reason:
            self._troubles[key] = Trouble(instance, step, reason, parked, monotonic())
        if parked or (before is not None and before.parked):
            self.report()
        return parked and not (before is not None and before.parked)

    def of(self, instance: Instance) -> tuple[Trouble, ...]:
        """What fails of one instance."""
        return tuple(trouble for trouble in self._troubles.values() if trouble.instance == instance)

    def report(self) -> None:
        """Tell the meters how many instances of each saga are parked."""
        oldest = monotonic() - FORGET
        self._troubles = {key: trouble for key, trouble in self._troubles.items() if trouble.seen > oldest}
        parked = {trouble.instance for trouble in self._troubles.values() if trouble.parked}
        sagas = Counter(instance.saga for instance in parked)
        for saga in self._reported | set(sagas):
            self.meters.parked(saga, sagas[saga])
        self._reported = set(sagas)
