"""Is the watch alive? What a list has shown, the watch must tell soon, too. No I/O.

A watch that has died quietly looks like a cluster in which nothing happens. So from time to time everything is listed:
what stands there and was not told after a while proves that nobody tells any more.
"""

from __future__ import annotations

from collections.abc import Mapping

from sagamesh.log.registers import SagaKey

GRACE = 30.0
"""Seconds that the watch may be behind a list: on a busy API server some, and a broken one is begun anew in a few."""


class Watching:
    """What the watch has told, and what it owes. Versions are resource versions, which grow."""

    def __init__(self) -> None:
        self._told: dict[SagaKey, int] = {}
        self._owed: dict[SagaKey, tuple[int, float]] = {}

    def told(self, key: SagaKey, version: str) -> None:
        """The watch brought this object, or its deletion."""
        self._told[key] = int(version)
        owed = self._owed.get(key)
        if owed is not None and owed[0] <= int(version):
            del self._owed[key]

    def forget(self, key: SagaKey) -> None:
        """The watch brought its deletion: nothing is owed."""
        self._told.pop(key, None)
        self._owed.pop(key, None)

    def listed(self, versions: Mapping[SagaKey, str], now: float) -> None:
        """A list has shown these, and no others."""
        self._owed = {key: owed for key, owed in self._owed.items() if key in versions or key in self._told}
        for key, version in versions.items():
            if self._told.get(key, 0) < int(version):
                self._owed.setdefault(key, (int(version), now))
        for key in self._told.keys() - versions.keys():  # a deletion
            self._owed.setdefault(key, (0, now))

    def behind(self, now: float) -> float:
        """Seconds for which the watch has owed something; 0: it owes nothing."""
        return max((now - since for _, since in self._owed.values()), default=0.0)

    def dead(self, now: float) -> bool:
        return self.behind(now) > GRACE
