"""Which sagas are parked at this sidecar: something fails in them for longer than `parkAfter`, and is still retried.

For metrics and logs only. Another replica may have taken a delivery over meanwhile, so an entry that is not renewed is
forgotten.
"""

from __future__ import annotations

from collections import Counter
from time import monotonic

from sagamesh.registers import Instance
from sagamesh_sidecar.meters import Meters

FORGET = 180.0
"""Seconds without news: three times the longest delay between two attempts."""


class Parking:
    """Deliveries that fail for long, by subject."""

    def __init__(self, meters: Meters) -> None:
        self.meters = meters
        self._entries: dict[str, tuple[Instance, float]] = {}
        self._reported: set[str] = set()

    def note(self, subject: str, instance: Instance, *, failing: bool) -> bool:
        """Take note of how a delivery was settled. True where it is parked from now on."""
        new = failing and subject not in self._entries
        if failing:
            self._entries[subject] = (instance, monotonic())
        elif self._entries.pop(subject, None) is None:
            return False
        self.report()
        return new

    def report(self) -> None:
        """Tell the meters how many instances of each saga are parked."""
        oldest = monotonic() - FORGET
        self._entries = {subject: entry for subject, entry in self._entries.items() if entry[1] > oldest}
        sagas = Counter(instance.saga for instance in {instance for instance, _ in self._entries.values()})
        for saga in self._reported | set(sagas):
            self.meters.parked(saga, sagas[saga])
        self._reported = set(sagas)
