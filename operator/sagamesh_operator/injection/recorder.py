"""Writes what `events` has to tell to the API server, beside the webhook and never in its way.

A review hands over a remark and goes on. What cannot be written now is tried again as long as it is news; what the
API server does not want is dropped. Of either the log says once why.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from datetime import UTC, datetime

from sagamesh_operator.injection.events import DueEvent, Journal, Remark
from sagamesh_operator.ports import ClusterUnavailable, Events

logger = logging.getLogger("sagamesh.injector")
LOOK = 10.0
"""Seconds between looks at what is left to write, beside those that a remark brings about at once."""
CLIENT_ERROR, BUSY = 4, (408, 429)
"""The class of statuses of HTTP that mean never, and those of them by which the API server asks for patience."""


def utc_now() -> datetime:
    return datetime.now(UTC)


def _is_final(status: int) -> bool:
    """Whether to ask again would change nothing. 0: no answer came."""
    return status // 100 == CLIENT_ERROR and status not in BUSY


class Recorder:
    """`reporter`: which process this is, for people."""

    def __init__(self, cluster: Events, reporter: str, *, now: Callable[[], datetime] = utc_now) -> None:
        self._cluster = cluster
        self._journal = Journal(reporter)
        self._now = now
        self._news = asyncio.Event()
        self._problem: str | None = None

    def hear(self, remark: Remark) -> None:
        """Takes no time, and no harm can come of it."""
        self._journal.hear(remark, self._now())
        self._news.set()

    async def run(self) -> None:
        """Write what is due, for ever. Whatever goes wrong here is no reason to end the webhook."""
        while True:
            self._news.clear()
            try:
                await self.write()
            except ClusterUnavailable:
                await asyncio.sleep(LOOK)
            except Exception:
                logger.exception("Events are not written for now: a fault of ours")
                await asyncio.sleep(LOOK)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK):
                    await self._news.wait()

    async def write(self) -> None:
        """All that is due, one after the other. Raises ClusterUnavailable where the API server has no time for it."""
        for entry in self._journal.due(self._now()):
            try:
                stands = await self._write(entry)
            except ClusterUnavailable as error:
                self._tell(str(error))
                if not _is_final(error.status):
                    raise
                self._journal.drop(entry)
                continue
            self._problem = None
            if stands:
                self._journal.written(entry, self._now())
            else:
                self._journal.drop(entry)

    async def _write(self, entry: DueEvent) -> bool:
        """False: the Event that was to be changed is gone, as they all are after an hour."""
        if entry.document is not None:
            await self._cluster.create_event(entry.document)
            return True
        assert entry.series is not None
        return await self._cluster.repeat_event(entry.namespace, entry.name, entry.series)

    def _tell(self, problem: str) -> None:
        if problem != self._problem:
            logger.warning("an Event about a pod's maker cannot be written", extra={"reason": problem})
        self._problem = problem
