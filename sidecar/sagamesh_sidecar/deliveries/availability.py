"""Whether the app is there. While it is not, no call is made and no step begins; a probe finds out when it is.

It may be away as a whole, when nobody listens, or at one path only, when it answers 503 there: neither says anything of
the other. Knows no saga: what an answer means is core's `answers`, and who asks is the relay.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from time import monotonic
from typing import NamedTuple

from sagamesh.protocol.answers import APP_AWAY, Answer, Away, is_away_there, why_away
from sagamesh.text import cut
from sagamesh_sidecar.ports import App

logger = logging.getLogger("sagamesh.app")
PATIENCE = 4
"""So much longer are the pauses between probes while nobody misses the app: it may be that there is none."""
MOST_CLOSED = 64
"""Paths that are known to be closed: more than most apps serve. Of those that were asked least lately one may ask."""
FORGET = 60.0
"""Seconds after which a path that nobody has asked counts no more."""


class Closed(NamedTuple):
    """A path at which the app has said 503. `since`: when it was last asked there. `reason`: what it said."""

    since: float
    reason: str


class Availability:
    """Not there until the app is seen, and from a call on that finds nobody; there from any answer on.

    A sidecar starts before its app, and must not call it to find that out. An app whose port is closed is there when it
    takes a connection. A path at which it said 503 is asked again by one call after each pause, until it says something
    else. The more paths are closed, the longer are these pauses: an app that says 503 to everything is asked no more
    often than one that says so at one path.
    """

    def __init__(self, app: App, *, interval: float = 0.25, now: Callable[[], float] = monotonic) -> None:
        """`interval`: seconds between probes of an app that is missed; a quarter is soon over, and costs nothing.

        `now`: a clock in seconds.
        """
        self.app = app
        self.interval = interval
        self.away = False
        """Whether it is missed: an attempt came while it was not there. Some participants only start sagas."""
        self._now = now
        self._seen = False
        self._absent = asyncio.Event()
        self._absent.set()
        self._closed: dict[str, Closed] = {}  # the one that was asked last comes last

    def refusal(self, path: str) -> str:
        """Why an attempt may not count on the app at a path; empty: it may. Whom it refuses has missed the app.

        Takes no trial: most attempts make no call, and one that asks nothing must not keep another from asking.
        """
        if self._absent.is_set():
            self._miss()
            return APP_AWAY
        closed = self._closed.get(path)
        waits = closed is not None and self._now() - closed.since < self.interval * len(self._closed)
        return closed.reason if closed is not None and waits else ""

    def call(self, path: str) -> None:
        """A call is about to be made: where the app said 503 it is the trial, and the next one comes a pause later."""
        closed = self._closed.pop(path, None)
        if closed is not None:
            self._closed[path] = Closed(self._now(), closed.reason)

    def observe(self, path: str, answer: Answer) -> None:
        """Learn from an answer to a call."""
        self._closed.pop(path, None)
        if isinstance(answer, Away):
            self._closed.clear()  # who comes back may be another
            self._absent.set()
            self._miss()
            return
        if self._absent.is_set():
            self._arrived()
        if is_away_there(answer):
            self._closed[path] = Closed(self._now(), cut(why_away(answer, path)))
            self._forget()

    def _forget(self) -> None:
        oldest = self._now() - FORGET
        for path, closed in tuple(self._closed.items()):
            if closed.since < oldest or len(self._closed) > MOST_CLOSED:
                del self._closed[path]

    def _miss(self) -> None:
        if not self.away:
            self._tell(APP_AWAY if self._seen else "the app is not there yet")
        self.away = True

    def _arrived(self) -> None:
        if self.away:
            self._tell("the app is back" if self._seen else "the app is there")
        self._seen, self.away = True, False
        self._absent.clear()

    def _tell(self, what: str) -> None:
        """An app that comes after its sidecar is no reason to warn."""
        logger.log(logging.WARNING if self._seen else logging.INFO, what)

    async def look(self) -> None:
        """The first probe: before any delivery comes, or that one would have to come again."""
        if await self.app.reachable():
            self._arrived()

    async def run(self) -> None:
        """Probe while the app is not there."""
        while True:
            await self._absent.wait()
            await asyncio.sleep(self.interval if self.away else PATIENCE * self.interval)
            if await self.app.reachable():
                self._arrived()
