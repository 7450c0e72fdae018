"""Tells which rules this sidecar holds, at once when that changes, and now and then anyway. For display only.

Hence nothing that goes wrong here is an error: it is tried again.
"""

from __future__ import annotations

import asyncio
import logging

from sagamesh.distribution import buckets, heartbeat
from sagamesh.text import cut
from sagamesh_sidecar.ports import Log
from sagamesh_sidecar.rules.rulebook import Rulebook

logger = logging.getLogger("sagamesh.heartbeat")

COALESCE = 0.03
"""Seconds in which what changes one after the other is told in one: people who wait for a rollout do not notice."""
LOOK = 1.0
"""Seconds between looks whether NATS is back: nobody needs to know sooner, and a look costs nothing."""
GOODBYE = 1.0
"""Seconds that the last word may take: it is a courtesy, and a pod is waiting to end."""


class Reporter:
    """The heartbeat of one sidecar."""

    def __init__(self, source: Log, rulebook: Rulebook, *, pod: str, every: float = buckets.HEARTBEAT_EVERY) -> None:
        self._log = source
        self._rulebook = rulebook
        self._pod = pod
        self._every = every
        self._subject = buckets.heartbeat_subject(rulebook.namespace, rulebook.participant, pod)
        self._changed = asyncio.Event()

    def changed(self) -> None:
        """What the rulebook holds is another: tell it soon."""
        self._changed.set()

    async def run(self) -> None:
        """Tell, again and again, until cancelled."""
        patience = LOOK
        while True:
            self._changed.clear()
            if await self._put(self._told()):
                patience = LOOK
                await self._wait(self._every)
            else:
                await self._wait(patience)
                patience = min(2 * patience, self._every)
            await asyncio.sleep(COALESCE)

    async def stop(self) -> None:
        """Say goodbye, with an empty body. To be called when `run` has ended."""
        if not self._log.connected:
            return
        try:
            async with asyncio.timeout(GOODBYE):
                await self._put(b"")
        except TimeoutError:
            logger.debug("nobody heard the goodbye")

    def _told(self) -> bytes:
        book = self._rulebook
        return heartbeat.encode(
            heartbeat.Heartbeat(
                namespace=book.namespace,
                participant=book.participant,
                pod=self._pod,
                holds=book.holds,
                starts=book.starts,
            )
        )

    async def _put(self, body: bytes) -> bool:
        try:
            result = await self._log.put(self._subject, {}, body)
        except ValueError as error:  # it has grown too large
            logger.debug("the heartbeat cannot be sent", extra={"reason": cut(str(error))})
            return False
        if not isinstance(result, int):
            logger.debug("nobody took the heartbeat", extra={"result": result.name})
        return isinstance(result, int)

    async def _wait(self, seconds: float) -> None:
        """Until something changes, NATS comes back, or so many seconds are over."""
        before = self._log.connections
        end = asyncio.get_running_loop().time() + seconds
        while (left := end - asyncio.get_running_loop().time()) > 0:
            try:
                async with asyncio.timeout(min(LOOK, left)):
                    await self._changed.wait()
            except TimeoutError:
                if self._log.connections == before:
                    continue
            return
