"""The operator's one loop: whatever is told, a saga gets its turn, and in it everything about it is looked at anew.

Level-based: no event is needed twice, none is waited for, and a restart is nothing special. Nothing is decided here,
but in `acceptance`, `standing`, `distribute`, `status` and `retire`; what is remembered between turns is `record`'s.
Kubernetes and NATS may both be away at any time; then what cannot be done is done later. In no saga's path.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from msgspec.structs import replace

from sagamesh.errors import SagameshError, UnavailableError
from sagamesh.log.registers import SagaKey
from sagamesh_jetstream.client.ports import JetStream, JetStreamError, JsonObject
from sagamesh_jetstream.upkeep.distribute import distribute
from sagamesh_jetstream.upkeep.fleet import Fleet, heartbeats
from sagamesh_jetstream.upkeep.retire import left_over, retire
from sagamesh_operator.metrics import OperatorMetrics
from sagamesh_operator.ports import Cluster, ClusterUnavailable
from sagamesh_operator.resource import Note, Resource, resource
from sagamesh_operator.sagas import status as statuses
from sagamesh_operator.sagas.acceptance import Acceptance, Judge, judge_here
from sagamesh_operator.sagas.record import SagaRecord, SagaRecords
from sagamesh_operator.sagas.standing import Standing, readiness, remembered, too_old, why_not
from sagamesh_operator.sagas.watch_health import Watching
from sagamesh_operator.sagas.workqueue import FIRST_DELAY, Workqueue, backoff

logger = logging.getLogger("sagamesh.operator")

WORKERS = 8
"""Sagas that have their turn at once: most of it they wait for replies, and one that waits long holds up none."""
REPLICAS = 3
"""Of what is created, where NATS has so many servers: the fewest with which one may fail."""
RESYNC = 60.0
"""Seconds between two looks at everything that Kubernetes and NATS hold: as long as a lost deletion may be missed."""
REPAIR = 10
"""So many of them apart, every saga is distributed again: somebody may have meddled with its stream."""
COALESCE = 0.05
"""Seconds for which the news of sidecars are gathered: a Deployment that starts tells of all its pods together."""
AWAY = 2.0
"""Seconds that NATS may be away before the status says so: where a server is there, the next client takes less."""
SILENCE = 5.0
"""Seconds between two looks for sidecars that say nothing any more: few beside the ninety that they may be silent."""
TOLD_AGAIN = 30 * 60.0
"""Seconds between Events about a deleted saga that still runs: Kubernetes forgets them after an hour."""


class Reconciler:
    """Between a cluster and NATS. `judge`: who checks specs, which may take long.

    `resync`: seconds between two looks at everything. `now`: seconds since the epoch.
    """

    def __init__(
        self,
        js: JetStream,
        cluster: Cluster,
        metrics: OperatorMetrics,
        *,
        installation: str,
        judge: Judge = judge_here,
        resync: float = RESYNC,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._js = js
        self._cluster = cluster
        self._metrics = metrics
        self._installation = installation
        self._judge = judge
        self._resync_after = resync
        self._now = now
        self.watching = Watching()
        self.fleet = Fleet()
        self.synced = asyncio.Event()
        """Set once everything was listed."""
        self._queue: Workqueue[SagaKey] = Workqueue()
        self.records = SagaRecords()
        self._connected = asyncio.Event()
        self._fleet_read = False
        self._deleted: dict[SagaKey, int] = {}
        """What was deleted since the list before the last one, and in which version: word of it may still be late."""
        self._listed = 0
        metrics.queue(lambda: len(self._queue))

    # -- what others tell

    def told(self, kind: str | None, document: Mapping[str, Any]) -> None:
        """The watch says that a Saga is there, has changed, or was deleted."""
        told = resource(document)
        if kind == "DELETED":
            self.watching.forget(told.key)
            self._lose(told.key, int(told.version))
        else:
            self.watching.told(told.key, told.version)
            self._see(told)

    def heard(self, subject: str, body: bytes) -> None:
        """A sidecar's heartbeat."""
        if heartbeat := self.fleet.hear(subject, body, self._now()):
            self._touch(heartbeat.namespace, heartbeat.participant)

    def connected(self) -> None:
        """There is a new connection to NATS: what is known of it may be old."""
        self._connected.set()

    def disconnected(self) -> None:
        self._fleet_read = False
        self._distribute_all(after=AWAY)

    def _see(self, seen: Resource) -> None:
        if int(seen.version) <= self._deleted.get(seen.key, 0):
            return
        if self.records.of(seen.key).see(seen):
            self._metrics.retiring(seen.key, None)  # it may have been deleted before
            self._queue.add(seen.key)

    def _lose(self, key: SagaKey, version: int) -> None:
        self._deleted[key] = version
        self.records.of(key).lose()
        self._metrics.forget(key)
        self._queue.add(key)

    def _touch(self, namespace: str, participant: str) -> None:
        """Sagas in which it takes part get a turn; and deleted ones, which may have waited for it."""
        for key in self.records.concerned(namespace, participant):
            self._queue.add(key, after=COALESCE)

    def _distribute_all(self, *, after: float = 0.0) -> None:
        """Every Saga that is there has its turn, and is distributed in it."""
        for key in self.records.present():
            self.records.of(key).due = True
            self._queue.add(key, after=after)

    # -- the tasks

    async def run(self) -> None:
        """Until it is cancelled."""
        with suppress(TimeoutError):  # else the first thing said of every saga would be that NATS is away
            await asyncio.wait_for(self._connected.wait(), AWAY)
        async with asyncio.TaskGroup() as group:
            for _ in range(WORKERS):
                group.create_task(self._work())
            group.create_task(self._resync())
            group.create_task(self._follow_fleet())
            group.create_task(self._expire())

    async def _work(self) -> None:
        while True:
            async with self._queue.turn() as key:
                began = time.monotonic()
                record = self.records.of(key)
                again = await self._safely(key, record)
                if again:
                    record.failures += 1
                    self._queue.add(key, after=backoff(record.failures))
                else:
                    record.failures = 0
                self._metrics.reconciled(time.monotonic() - began, "again" if again else "done")

    async def _safely(self, key: SagaKey, record: SagaRecord) -> bool:
        """Whether it needs another turn. Nothing that the world does, and no fault of ours, ends a worker."""
        try:
            if record.resource is None:
                return await self._retire(key, record)
            return await self._bring(record, record.resource)
        except (ClusterUnavailable, UnavailableError) as error:
            logger.warning("%s: %s", key, error)
        except JetStreamError as error:
            logger.error("%s: %s", key, error)
        except Exception:
            logger.exception("%s could not be looked at", key)
        return True

    # -- a saga that is there

    async def _bring(self, record: SagaRecord, wanted: Resource) -> bool:
        """From what is wanted to what stands, and what is said of it. Whether it needs another turn."""
        acceptance = await self._accept(record, wanted)
        if acceptance is None:
            return False
        told = remembered(wanted)
        standing = record.standing or told
        if not acceptance.documents:  # then two operators agree on what the status says, if it says anything
            standing = replace(told if told.active else standing, problem=None)
        elif record.due:
            standing = await self._distribute(record, wanted.key, acceptance, standing)
            if not record.is_still(wanted):  # deleted meanwhile: that has a turn of its own
                return False
        if acceptance.documents:  # of a refused one only the status tells what another operator has made of it
            record.standing = standing
        participants = readiness(wanted.key, acceptance, self.fleet)
        as_it_is = replace(wanted, status=record.said)  # the watch may not have told yet what was written
        said = statuses.status(as_it_is, acceptance, replace(standing, participants=participants), self._now())
        await self._say(record, wanted, said)
        return standing.problem is not None

    async def _accept(self, record: SagaRecord, wanted: Resource) -> Acceptance | None:
        """What its spec means, judged once; None: it was deleted meanwhile, and that has a turn of its own."""
        if record.judged(wanted) is None:
            acceptance = await self._judge(wanted.document)
            if record.is_still(wanted):
                record.judge(wanted, acceptance)
        return record.judged(wanted)

    async def _distribute(self, record: SagaRecord, key: SagaKey, accepted: Acceptance, before: Standing) -> Standing:
        """Make the revision stand; or why it does not, with what stood before."""
        problem = too_old(key, accepted, self.fleet)
        if problem is None:
            record.due = False  # now: what comes in meanwhile is for the next turn
            try:
                done = await distribute(
                    self._js, accepted.documents, installation=self._installation, replicas=REPLICAS
                )
                return Standing(active=done.revision, replicas=done.replicas)
            except SagameshError as error:
                problem = why_not(error)
            except Exception:  # whatever it was, nobody knows now what stands
                record.due = True
                raise
        record.due = True
        return replace(before, problem=problem)

    async def _say(self, record: SagaRecord, wanted: Resource, status: JsonObject) -> None:
        """One PATCH, and one Event, where anything has changed."""
        before = record.said
        self._metrics.saga(wanted.key, status)
        if status == before or (written := await self._cluster.apply_status(wanted, status)) is None:
            return
        record.say(int(written), status)
        if note := statuses.news(before, status):
            await self._report(wanted.key, wanted.uid, note)

    async def _report(self, key: SagaKey, uid: str, note: Note) -> None:
        logger.info("%s: %s: %s", key, note.reason, note.message)
        try:
            await self._cluster.record(key, uid, note)
        except ClusterUnavailable as error:  # it is said in the status, too
            logger.warning("%s: no Event: %s", key, error)

    # -- a saga that was deleted

    async def _retire(self, key: SagaKey, record: SagaRecord) -> bool:
        if not self._fleet_read:
            raise UnavailableError("who starts the saga is not known yet")
        starting = self.fleet.starters(key.namespace, key.saga)
        left = await retire(self._js, key, starting=starting, installation=self._installation)
        if record.resource is not None:  # it was created again meanwhile
            return False  # that has a turn of its own
        self._metrics.retiring(key, left.running if left else None)
        if left is None:
            await self._forget(key, record)
            return False
        if record.told_at is None or self._now() - record.told_at > TOLD_AGAIN:
            record.told_at = self._now()
            message = f"{left.running} of its instances still run; log and rules stay until they end"
            await self._report(key, record.uid, Note("Normal", "Retiring", message))
        return True

    async def _forget(self, key: SagaKey, record: SagaRecord) -> None:
        """Nothing of a deleted saga is left: say so to whoever was told that something was."""
        if record.told_at is not None:
            record.told_at = None
            await self._report(key, record.uid, Note("Normal", "Retired", "log and rules are gone"))
        if record.resource is None:  # else it was created again meanwhile
            self.records.drop(key)

    # -- everything

    async def _resync(self) -> None:
        turn = 0
        while True:
            try:
                await self._look(repair=turn % REPAIR == REPAIR - 1)
                turn += 1
                delay = self._resync_after
            except (ClusterUnavailable, UnavailableError, JetStreamError) as error:
                logger.warning("not everything can be listed: %s", error)
                delay = FIRST_DELAY * 2
            await asyncio.sleep(delay)

    async def _look(self, *, repair: bool) -> None:
        """What the list shows and the watch did not tell, deletions above all; and what only NATS still knows."""
        documents, version = await self._cluster.sagas()
        listed = {each.key: each for each in map(resource, documents)}
        self.watching.listed({key: each.version for key, each in listed.items()}, self._now())
        for each in listed.values():
            self._see(each)
        for key, known in self.records.present().items():
            if key not in listed and int(known.version) <= version:
                self._lose(key, version)
        self._deleted = {key: gone for key, gone in self._deleted.items() if gone >= self._listed}
        self._listed = version
        if repair:
            self._distribute_all()
        self.synced.set()
        for key in sorted(await left_over(self._js, self._installation) - self.records.present().keys()):
            self._queue.add(key)

    async def _follow_fleet(self) -> None:
        """Read who lives whenever there is a new connection: what was pushed meanwhile was missed."""
        while True:
            await self._connected.wait()
            self._connected.clear()
            try:
                for subject, body in (await heartbeats(self._js)).items():
                    self.heard(subject, body)
                self._fleet_read = True
            except (UnavailableError, JetStreamError) as error:
                logger.warning("the sidecars' heartbeats cannot be read: %s", error)
                await asyncio.sleep(FIRST_DELAY)
                self._connected.set()
            self._distribute_all()

    async def _expire(self) -> None:
        while True:
            await asyncio.sleep(SILENCE)
            for heartbeat in self.fleet.expire(self._now()):
                self._touch(heartbeat.namespace, heartbeat.participant)
