"""The composition root: one sidecar with all its parts, started and stopped in order.

Start: the API and the probes are bound first, then the rules of before are taken up, NATS is reached, rules are read,
and deliveries are asked for, saga by saga as rules come. Stop: `subscriptions` drains, unless it was told to before,
then the API, then the clients. The loop's owner (`process`, or `sagamesh dev` with several sidecars) says when.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from sagamesh.rules.compiled import Rules
from sagamesh.text import listed
from sagamesh_sidecar import json_logging
from sagamesh_sidecar.adapters.app_client import AppClient, NoApp
from sagamesh_sidecar.adapters.files import FileStore, NoStore
from sagamesh_sidecar.adapters.nats import NatsLog
from sagamesh_sidecar.adapters.prometheus import PrometheusMetrics
from sagamesh_sidecar.api.instances import Instances
from sagamesh_sidecar.api.routes import Api
from sagamesh_sidecar.deliveries.availability import Availability
from sagamesh_sidecar.deliveries.executor import Executor
from sagamesh_sidecar.deliveries.parking import Parking
from sagamesh_sidecar.deliveries.relay import Relay
from sagamesh_sidecar.deliveries.retry_budget import RetryBudget
from sagamesh_sidecar.deliveries.subscriptions import Subscriptions
from sagamesh_sidecar.deliveries.tally import Tally
from sagamesh_sidecar.rules.cache import RulesCache
from sagamesh_sidecar.rules.reporter import Reporter
from sagamesh_sidecar.rules.rulebook import Rulebook
from sagamesh_sidecar.settings import SidecarSettings
from sagamesh_sidecar.web import readiness
from sagamesh_sidecar.web.probes import Health
from sagamesh_sidecar.web.server import Server

logger = logging.getLogger("sagamesh.sidecar")

API_GRACE, HEALTH_GRACE = 5.0, 1.0
"""Seconds that requests may take yet when a server stops: starts that the log is still taking, and probes that are none
of anybody's loss."""


class Sidecar:
    """One sidecar. Binding its ports raises PortError; after that nothing that the world does ends it."""

    def __init__(self, settings: SidecarSettings) -> None:
        self.settings = settings
        self.client = AppClient(settings.app, connections=settings.concurrency) if settings.app else NoApp()
        self.log = NatsLog(
            settings.nats, name=f"{settings.namespace}.{settings.participant}", directory=settings.nats_dir
        )
        self.availability = Availability(self.client)
        self.metrics = PrometheusMetrics(
            app_up=lambda: not self.availability.away,
            connected=lambda: self.log.connected,
            refused=lambda: bool(self.log.refused),
            in_flight=lambda: self.relay.in_flight,
        )
        self.parking = Parking(self.metrics)
        self.tally = Tally()
        self.rulebook = Rulebook(
            settings.namespace,
            settings.participant,
            self.log,
            self.metrics,
            poll=settings.poll,
            changed=self._changed,
        )
        self.reporter = Reporter(self.log, self.rulebook, pod=settings.pod)
        store = FileStore(Path(settings.state_dir) / "rules") if settings.state_dir else NoStore()
        self.copy = RulesCache(settings.namespace, settings.participant, store, lambda: dict(self.rulebook.entries))
        self.executor = Executor(settings.participant, self.log, self.client, self.availability, self.metrics)
        self.relay = Relay(
            pod=settings.pod,
            executor=self.executor,
            rulebook=self.rulebook,
            availability=self.availability,
            metrics=self.metrics,
            parking=self.parking,
            tally=self.tally,
            retry_budget=RetryBudget(settings.concurrency),
            ack_wait=settings.ack_wait,
        )
        self.subscriptions = Subscriptions(
            self.log, self.relay, self.metrics, slots=settings.concurrency, grace=settings.grace
        )
        self.rulebook.learned, self.rulebook.retired = self._learned, self.subscriptions.retired
        instances = Instances(self.executor, self.metrics, pod=settings.pod)
        api = Api(
            instances=instances,
            rulebook=self.rulebook,
            parking=self.parking,
            tally=self.tally,
            namespace=settings.namespace,
            now=self.log.now,
            drain=self.subscriptions.drain,
        )
        health = Health(alive=lambda: "", ready=self._unready, started=self._unstarted, metrics=self.metrics.exposition)
        self.api = Server(api, "127.0.0.1", settings.api_port, grace=API_GRACE, also="::1")  # `localhost` may be either
        self.health = Server(health, settings.health_host, settings.health_port, grace=HEALTH_GRACE)
        self.bound = False

    def bind(self) -> None:
        """Take the ports. Raises PortError."""
        self.api.bind()
        self.health.bind()
        self.bound = True

    async def run(self, stop: asyncio.Event, ready: Callable[[], None] = lambda: None) -> None:
        """Work until `stop` is set, and then until everything is put away. `ready` is called once rules are read."""
        json_logging.PARTICIPANT.set(self.settings.participant)
        self.bind()
        serving = [asyncio.create_task(server.serve(), name=name) for name, server in self._servers()]
        try:
            self.rulebook.restore(await self.copy.load())
            await self.availability.look()
            await self.log.start()
            async with asyncio.TaskGroup() as group:
                working = [
                    group.create_task(self.rulebook.run(), name="rules"),
                    group.create_task(self.subscriptions.run(), name="subscriptions"),
                    group.create_task(self.availability.run(), name="availability"),
                    group.create_task(self.reporter.run(), name="heartbeat"),
                    group.create_task(self.copy.run(), name="copy of the rules"),
                    group.create_task(self.relay.renew(), name="leases"),
                    group.create_task(self._announce(ready), name="ready"),
                ]
                await stop.wait()
                logger.info("stopping")
                await self.subscriptions.drain()
                for task in working:
                    task.cancel()
        finally:
            await self._close(serving)

    def _servers(self) -> tuple[tuple[str, Server], ...]:
        return ("api", self.api), ("health", self.health)

    async def _announce(self, ready: Callable[[], None]) -> None:
        await self.rulebook.loaded.wait()
        ready()

    def _learned(self, rules: Rules) -> None:
        """Steps without an app wait, maybe for ever: told at once, and by `/readyz` for as long as it is so."""
        if rules.local.own and not self.settings.app:
            steps = listed(step.name for step in rules.local.own)
            logger.error(
                "there is no app", extra={"saga": rules.local.saga, "steps": steps, "reason": readiness.APPLESS}
            )
        self.subscriptions.learned(rules)

    def _changed(self) -> None:
        self.reporter.changed()
        self.copy.changed()

    async def _close(self, serving: list[asyncio.Task[None]]) -> None:
        for _, server in self._servers():
            server.stop()
        await asyncio.gather(*serving)
        await self.reporter.stop()
        await self.log.close()
        await self.client.close()

    def _unready(self) -> str:
        return readiness.unready(
            closed=self.subscriptions.closed,
            connected=self.log.connected,
            locked_out=self.log.locked_out,
            refused=self.log.refused,
            loaded=self.rulebook.loaded.is_set(),
            unserved=() if self.settings.app else self.subscriptions.sagas,
        )

    def _unstarted(self) -> str:
        return readiness.unstarted(bound=self.bound)
