"""Whether the app is away. While it is, no call is made and no step begins; a probe finds out when it is back."""

from __future__ import annotations

import asyncio
import logging

from sagamesh.answers import Answer, Away, is_away
from sagamesh_sidecar.ports import App

log = logging.getLogger("sagamesh.app")


class Gate:
    """Closed by an answer that says `away`, opened by any other answer.

    An app whose port was closed is back when it takes a connection. One that said so itself (503) takes connections
    all the time: now and then a single attempt is let through to ask it.
    """

    def __init__(self, app: App, *, interval: float = 0.25) -> None:
        self.app = app
        self.interval = interval
        self._away = asyncio.Event()
        self._listens = False
        self._trial = False

    @property
    def away(self) -> bool:
        return self._away.is_set()

    def closed(self) -> bool:
        """Whether an attempt must do without the app. Takes the one that is let through to ask."""
        if not self.away or self._trial:
            self._trial = False
            return False
        return True

    def observe(self, answer: Answer) -> None:
        """Learn from an answer."""
        if is_away(answer):
            if not self.away:
                log.warning("the app is away")
            self._listens = not isinstance(answer, Away)
            self._away.set()
        elif self.away:
            self._open()

    def _open(self) -> None:
        log.warning("the app is back")
        self._trial = False
        self._away.clear()

    async def run(self) -> None:
        """Probe while the app is away."""
        while True:
            await self._away.wait()
            await asyncio.sleep(self.interval)
            if not self.away or not await self.app.reachable():
                continue
            if self._listens:
                self._trial = True
            else:
                self._open()
