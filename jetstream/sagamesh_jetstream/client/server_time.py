"""The server's time, by a clock of this machine that is never set: a wall clock is trusted until a server was heard.

That clock is `pulse`'s, which counts while the machine sleeps: else a delivery from before would seem young afterwards.
"""

from __future__ import annotations

import time

from sagamesh_jetstream.client.pulse import elapsed

REFRESH = 60.0
"""Seconds after which the offset is measured again: clocks drift, by some milliseconds in that time at worst."""
GOOD_ENOUGH = 1.0
"""Seconds that the reply may take, for a measurement that replaces another: it is wrong by half of them at most, and
what is reckoned with this clock is reckoned in seconds."""


class Clock:
    """`now()` is the server's; until the first measurement, for want of anything better, this machine's."""

    def __init__(self) -> None:
        self._offset: float | None = None
        self._measured = 0.0

    @property
    def known(self) -> bool:
        return self._offset is not None

    @property
    def due(self) -> bool:
        """Whether it is time to measure."""
        return self._offset is None or elapsed() - self._measured > REFRESH

    def measure(self, server: float, sent: float) -> None:
        """The server said that it was `server` in a reply, just now, to a request sent at `sent` (`pulse.elapsed`)."""
        received = elapsed()
        if self.known and received - sent > GOOD_ENOUGH:
            return  # it may be wrong by half of that; the next one will be better
        self._measured = received
        self._offset = server - (sent + received) / 2

    def now(self) -> float:
        return time.time() if self._offset is None else elapsed() + self._offset
