"""Asks for the deliveries of each saga in which this participant owns steps, until it is deleted, or until `drain`.

A drain is how a pod leaves: nothing more is asked for, what runs is finished, or given back when the grace is over. It
ends no sidecar, for the app may still start sagas until it is gone itself: `app` does, when it is told to stop.
"""

from __future__ import annotations

import asyncio
import logging

from sagamesh.log import registers
from sagamesh.rules.compiled import Rules
from sagamesh.rules.local import LocalRules
from sagamesh_sidecar.deliveries.relay import Relay
from sagamesh_sidecar.metrics import Metrics
from sagamesh_sidecar.ports import Log, Subscription

logger = logging.getLogger("sagamesh.intake")

LETTING_GO = 5.0
"""Seconds that what is given back may take to let go of the app: it was cancelled, and waits for nobody."""


class Subscriptions:
    """What is asked for. `slots`: deliveries of one saga in hand at once. `grace`: seconds that calls may take yet."""

    def __init__(self, source: Log, relay: Relay, metrics: Metrics, *, slots: int, grace: float) -> None:
        self._log = source
        self._relay = relay
        self._metrics = metrics
        self._slots = slots
        self._grace = grace
        self._news: asyncio.Queue[Rules | str] = asyncio.Queue()
        self._subscriptions: dict[str, Subscription] = {}
        self._changing = asyncio.Lock()  # while one is added: a drain must not miss it
        self._drain: asyncio.Task[int] | None = None

    @property
    def closed(self) -> str:
        """Why nothing is asked for; empty: it is."""
        if self._drain is None:
            return ""
        return "drained: no delivery is taken any more" if self._drain.done() else "draining: what runs is finished"

    @property
    def sagas(self) -> tuple[str, ...]:
        """Those in which this participant owns steps, as far as it knows."""
        return tuple(self._subscriptions)

    def learned(self, rules: Rules) -> None:
        self._news.put_nowait(rules)

    def retired(self, saga: str) -> None:
        self._news.put_nowait(saga)

    async def run(self) -> None:
        """Follow the news, until cancelled."""
        while True:
            match await self._news.get():
                case str(saga):
                    if subscription := self._subscriptions.get(saga):
                        await subscription.close()
                        del self._subscriptions[saga]  # only now: a drain waits for what it has in hand
                case rules:
                    await self._subscribe(rules.local)

    async def _subscribe(self, local: LocalRules) -> None:
        async with self._changing:
            if not local.own or local.saga in self._subscriptions or self._drain is not None:
                return
            [stream] = registers.streams(local.namespace, local.saga)
            subscription = await self._log.consume(stream, local.participant, self._relay.accept, slots=self._slots)
            self._subscriptions[local.saga] = subscription
            self._metrics.listens(local.saga, lambda: not subscription.problem)

    async def drain(self) -> int:
        """Returns when no delivery is in hand any more, and none will be: how many were given back unfinished.

        Whoever asks again waits for the same drain; who ceases to wait does not end it.
        """
        if self._drain is None:
            self._drain = asyncio.create_task(self._finish())
        return await asyncio.shield(self._drain)

    async def _finish(self) -> int:
        logger.info("draining", extra={"in_flight": self._relay.in_flight})
        closing = asyncio.create_task(self._close())  # it goes on when the grace is over, even if none is
        await asyncio.wait([closing], timeout=self._grace)
        left = 0 if closing.done() else await self._give_back(closing)
        logger.info("drained", extra={"given_back": left})
        return left

    async def _give_back(self, closing: asyncio.Task[None]) -> int:
        left = self._relay.in_flight
        await self._relay.give_back()
        await asyncio.wait([closing], timeout=LETTING_GO)
        if not closing.done():
            logger.error("what was given back has not let go yet", extra={"in_flight": self._relay.in_flight})
            closing.cancel()
        return left

    async def _close(self) -> None:
        async with self._changing:
            await asyncio.gather(*(subscription.close() for subscription in self._subscriptions.values()))
