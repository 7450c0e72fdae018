"""Whether the app is there. While it is not, no call is made and no step begins; a probe finds out when it is.

Knows no saga: what an answer means is core's `answers`, and who asks is the relay.
"""

from __future__ import annotations

import asyncio
import logging

from sagamesh.protocol.answers import Answer, Away, is_away
from sagamesh_sidecar.ports import App

logger = logging.getLogger("sagamesh.app")
PATIENCE = 4
"""So much longer are the pauses between probes while nobody misses the app: it may be that there is none."""


class Availability:
    """Not there until the app is seen, and from an answer on that says `away`; there from any other answer on.

    A sidecar starts before its app, and must not call it to find that out. An app whose port is closed is there when it
    takes a connection. One that said so itself (503) takes connections all the time: now and then attempts
    are let through, until one of them has called it.
    """

    def __init__(self, app: App, *, interval: float = 0.25) -> None:
        """`interval`: seconds between probes of an app that is missed; a quarter is soon over, and costs nothing."""
        self.app = app
        self.interval = interval
        self.away = False
        """Whether it is missed: an attempt came while it was not there. Some participants only start sagas."""
        self._seen = False
        self._absent = asyncio.Event()
        self._absent.set()
        self._listens = False
        self._trial = False  # means nothing while the app is there, and is over whenever it goes

    def admit(self) -> bool:
        """Whether an attempt may count on the app; one that may not has missed it.

        Takes no trial: most attempts make no call, and one that asks nothing must not keep another from asking.
        """
        admitted = not self._absent.is_set() or self._trial
        if not admitted:
            self._miss()
        return admitted

    def call(self) -> None:
        """A call is about to be made: it is the trial, where one was let through to ask."""
        self._trial = False

    def observe(self, answer: Answer) -> None:
        """Learn from an answer."""
        if is_away(answer):
            self._listens = not isinstance(answer, Away)
            self._trial = False
            self._absent.set()
            self._miss()
        elif self._absent.is_set():
            self._arrived()

    def _miss(self) -> None:
        if not self.away:
            self._tell("the app is away" if self._seen else "the app is not there yet")
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
                if self._listens:
                    self._trial = True
                else:
                    self._arrived()
