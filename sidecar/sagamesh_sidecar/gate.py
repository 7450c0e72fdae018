"""Whether the app is away. While it is, no call is made and no step begins; a probe finds out when it is back."""

from __future__ import annotations

import asyncio
import logging

from sagamesh.answers import Answer, is_away
from sagamesh_sidecar.ports import App

log = logging.getLogger("sagamesh.app")


class Gate:
    """Closed by an answer that says `away`, opened by any other answer, or by a connection that succeeds."""

    def __init__(self, app: App, *, interval: float = 0.25) -> None:
        self.app = app
        self.interval = interval
        self._away = asyncio.Event()

    @property
    def away(self) -> bool:
        return self._away.is_set()

    def observe(self, answer: Answer) -> None:
        """Learn from an answer."""
        if is_away(answer):
            if not self.away:
                log.warning("the app is away")
            self._away.set()
        elif self.away:
            self._open()

    def _open(self) -> None:
        log.info("the app is back")
        self._away.clear()

    async def run(self) -> None:
        """Probe while the app is away. An app that says 503 to everything is let in now and then, by this probe."""
        while True:
            await self._away.wait()
            await asyncio.sleep(self.interval)
            if self.away and await self.app.reachable():
                self._open()
