"""The operator's one loop: whatever is told, a saga gets its turn, and in it everything about it is looked at anew.

Level-based: no event is needed twice, none is waited for, and a restart is nothing special. Nothing is decided here,
but in `acceptance`, `distribute`, `status` and `retire`. Kubernetes and NATS may both be away at any time; then what
cannot be done is done later. In no saga's path.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from msgspec.structs import replace

from sagamesh.distribution.plan import ForeignStreamError
from sagamesh.errors import SagameshError, UnavailableError
from sagamesh.log.registers import SagaKey
from sagamesh.rules.local import FORMAT
from sagamesh_jetstream.client.ports import JetStream, JetStreamError, JsonObject
from sagamesh_jetstream.upkeep.distribute import distribute
from sagamesh_jetstream.upkeep.fleet import Fleet, heartbeats
from sagamesh_jetstream.upkeep.retire import left_over, retire
from sagamesh_operator.metrics import OperatorMetrics
from sagamesh_operator.ports import Cluster, ClusterUnavailable
from sagamesh_operator.resource import Note, Resource, resource
from sagamesh_operator.sagas import status as statuses
from sagamesh_operator.sagas.acceptance import Acceptance, judge
from sagamesh_operator.sagas.status import NotDistributed, Readiness, Standing
from sagamesh_operator.sagas.watch_health import Watching
from sagamesh_operator.sagas.workqueue import Workqueue

logger = logging.getLogger("sagamesh.operator")

WORKERS = 8
REPLICAS = 3
RESYNC = 60.0
"""Seconds between two looks at everything that Kubernetes and NATS hold."""
REPAIR = 10
"""So many of them apart, every saga is distributed again: somebody may have meddled with its stream."""
COALESCE = 0.05
"""Seconds for which the news of sidecars are gathered."""
AWAY = 2.0
"""Seconds that NATS may be away before the status says so."""
FIRST_DELAY, MAX_DELAY = 1.0, 30.0
TOLD_AGAIN = 30 * 60.0
"""Seconds between Events about a deleted saga that still runs: Kubernetes forgets them after an hour."""


class Reconciler:
    """Between a cluster and NATS. `resync`: seconds between two looks at everything. `now`: seconds since the epoch."""

    def __init__(
        self,
        js: JetStream,
        cluster: Cluster,
        metrics: OperatorMetrics,
        *,
        installation: str,
        resync: float = RESYNC,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._js = js
        self._cluster = cluster
        self._metrics = metrics
        self._installation = installation
        self._resync_after = resync
        self._now = now
        self.watching = Watching()
        self.fleet = Fleet()
        self.synced = asyncio.Event()
        """Set once everything was listed."""
        self._queue: Workqueue[SagaKey] = Workqueue()
        self._sagas: dict[SagaKey, Resource] = {}
        self._verdicts: dict[SagaKey, tuple[Resource, Acceptance]] = {}
        self._standing: dict[SagaKey, Standing] = {}
        self._dirty: set[SagaKey] = set()
        self._said: dict[SagaKey, tuple[int, Mapping[str, Any]]] = {}
        self._failures: Counter[SagaKey] = Counter()
        self._gone: dict[SagaKey, str] = {}
        self._told_of: dict[SagaKey, float] = {}
        self._connected = asyncio.Event()
        self._fleet_read = False
        metrics.queue(lambda: len(self._queue))

    # -- what others tell

    def told(self, kind: str | None, document: Mapping[str, Any]) -> None:
        """The watch says that a Saga is there, has changed, or was deleted."""
        found = resource(document)
        if kind == "DELETED":
            self.watching.forget(found.key)
            self._lose(found.key)
        else:
            self.watching.told(found.key, found.version)
            self._see(found)

    def heard(self, subject: str, body: bytes) -> None:
        """A sidecar's heartbeat."""
        if heartbeat := self.fleet.hear(subject, body, self._now()):
            self._touch(heartbeat.namespace, heartbeat.participant)

    def connected(self) -> None:
        """There is a new connection to NATS: what is known of it may be old."""
        self._connected.set()

    def disconnected(self) -> None:
        self._fleet_read = False
        for key in self._sagas:
            self._dirty.add(key)
            self._queue.add(key, after=AWAY)

    def _see(self, found: Resource) -> None:
        known = self._sagas.get(found.key)
        same = known is not None and known.uid == found.uid
        if known is not None and same and int(known.version) > int(found.version):
            return
        self._sagas[found.key] = found
        self._gone.pop(found.key, None)
        if not same:
            self._said.pop(found.key, None)
        version, _ = self._said.get(found.key, (0, {}))
        if int(found.version) >= version:
            self._said[found.key] = int(found.version), found.status
        if known is None or not same or known.generation != found.generation:
            self._dirty.add(found.key)
            self._queue.add(found.key)

    def _lose(self, key: SagaKey) -> None:
        if lost := self._sagas.pop(key, None):
            self._gone[key] = lost.uid
        for about in (self._verdicts, self._standing, self._said):
            about.pop(key, None)
        self._dirty.discard(key)
        self._metrics.forget(key)
        self._queue.add(key)

    def _touch(self, namespace: str, participant: str) -> None:
        """Sagas in which it takes part get a turn; and deleted ones, which may have waited for it."""
        for key, (_, verdict) in self._verdicts.items():
            if key.namespace == namespace and participant in verdict.documents:
                self._queue.add(key, after=COALESCE)
        for key in self._gone:
            if key.namespace == namespace:
                self._queue.add(key, after=COALESCE)

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
                again = await self._safely(key)
                if again:
                    self._failures[key] += 1
                    self._queue.add(key, after=self._delay(key))
                else:
                    self._failures.pop(key, None)
                self._metrics.reconciled(time.monotonic() - began, "again" if again else "done")

    async def _safely(self, key: SagaKey) -> bool:
        """Whether it needs another turn. Nothing that the world does, and no fault of ours, ends a worker."""
        try:
            found = self._sagas.get(key)
            return await (self._retire(key) if found is None else self._bring(found))
        except (ClusterUnavailable, UnavailableError) as error:
            logger.warning("%s: %s", key, error)
        except JetStreamError as error:
            logger.error("%s: %s", key, error)
        except Exception:
            logger.exception("%s could not be looked at", key)
        return True

    def _delay(self, key: SagaKey) -> float:
        return random.uniform(0.5, 1.0) * min(MAX_DELAY, FIRST_DELAY * 2.0 ** min(10, self._failures[key] - 1))

    # -- a saga that is there

    async def _bring(self, found: Resource) -> bool:
        """From what is wanted to what stands, and what is said of it. Whether it needs another turn."""
        verdict = self._judged(found)
        standing = self._standing.get(found.key) or _remembered(found)
        if not verdict.documents:
            self._dirty.discard(found.key)
            standing = replace(standing, problem=None)
        elif found.key in self._dirty:
            standing = await self._distributed(found.key, verdict, standing)
            now = self._sagas.get(found.key)
            if now is None or now.uid != found.uid:  # deleted meanwhile: that has a turn of its own
                return False
        participants = self._participants(found.key, verdict)
        self._standing[found.key] = standing
        await self._say(
            found, statuses.status(found, verdict, replace(standing, participants=participants), self._now())
        )
        return standing.problem is not None

    def _judged(self, found: Resource) -> Acceptance:
        known = self._verdicts.get(found.key)
        if known is not None and (known[0].uid, known[0].generation) == (found.uid, found.generation):
            return known[1]
        verdict = judge(found.document)
        self._verdicts[found.key] = found, verdict
        return verdict

    async def _distributed(self, key: SagaKey, verdict: Acceptance, before: Standing) -> Standing:
        """Make the revision stand; or why it does not, with what stood before."""
        problem = self._too_old(key, verdict)
        if problem is None:
            self._dirty.discard(key)  # now: what comes in meanwhile is for the next turn
            try:
                done = await distribute(self._js, verdict.documents, installation=self._installation, replicas=REPLICAS)
                return Standing(active=done.revision, replicas=done.replicas)
            except SagameshError as error:
                problem = _why_not(error)
        self._dirty.add(key)
        return replace(before, problem=problem)

    def _too_old(self, key: SagaKey, verdict: Acceptance) -> NotDistributed | None:
        """A sidecar that cannot read the rules would hold every delivery of the new revision."""
        for participant in verdict.documents:
            for sidecar in self.fleet.of(key.namespace, participant):
                if FORMAT not in sidecar.formats:
                    message = (
                        f"the sidecar in pod {sidecar.pod} of {participant} cannot read rules of format {FORMAT}; "
                        f"restart it with a newer sidecar, and the revision will become active"
                    )
                    return NotDistributed(statuses.SIDECAR_TOO_OLD, message, lasting=True)
        return None

    def _participants(self, key: SagaKey, verdict: Acceptance) -> tuple[Readiness, ...]:
        return tuple(
            Readiness(name, *self.fleet.count(key.namespace, name, key.saga, verdict.revision))
            for name in verdict.documents
        )

    async def _say(self, found: Resource, status: JsonObject) -> None:
        """One PATCH, and one Event, where anything has changed."""
        version, before = self._said.get(found.key, (0, {}))
        self._metrics.saga(found.key, status)
        if status == before:
            return
        written = await self._cluster.apply_status(found, status)
        if written is None:
            return
        self._said[found.key] = max(version, int(written)), status
        if note := statuses.news(before, status):
            await self._record(found.key, found.uid, note)

    async def _record(self, key: SagaKey, uid: str, note: Note) -> None:
        logger.info("%s: %s: %s", key, note.reason, note.message)
        try:
            await self._cluster.record(key, uid, note)
        except ClusterUnavailable as error:  # it is said in the status, too
            logger.warning("%s: no Event: %s", key, error)

    # -- a saga that was deleted

    async def _retire(self, key: SagaKey) -> bool:
        if not self._fleet_read:
            raise UnavailableError("who starts the saga is not known yet")
        starting = self.fleet.starts(key.namespace, key.saga)
        left = await retire(self._js, key, starting=starting, installation=self._installation)
        if key in self._sagas:  # it was created again meanwhile
            self._dirty.add(key)
            return True
        self._metrics.retiring(key, left.running if left else None)
        if left is None:
            if self._told_of.pop(key, None) is not None:
                await self._record(key, self._gone.get(key, ""), Note("Normal", "Retired", "log and rules are gone"))
            self._gone.pop(key, None)
            return False
        if self._now() - self._told_of.get(key, 0.0) > TOLD_AGAIN:
            self._told_of[key] = self._now()
            message = f"{left.running} of its instances still run; log and rules stay until they end"
            await self._record(key, self._gone.setdefault(key, ""), Note("Normal", "Retiring", message))
        return True

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
        found = {each.key: each for each in map(resource, documents)}
        self.watching.listed({key: each.version for key, each in found.items()}, self._now())
        for each in found.values():
            self._see(each)
            if repair:
                self._dirty.add(each.key)
                self._queue.add(each.key)
        for key, known in tuple(self._sagas.items()):
            if key not in found and int(known.version) <= version:
                self._lose(key)
        self.synced.set()
        for key in await left_over(self._js, self._installation) - self._sagas.keys():
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
            for key in self._sagas:
                self._dirty.add(key)
                self._queue.add(key)

    async def _expire(self) -> None:
        while True:
            await asyncio.sleep(5.0)
            for heartbeat in self.fleet.expire(self._now()):
                self._touch(heartbeat.namespace, heartbeat.participant)


def _remembered(found: Resource) -> Standing:
    """What the status says of an operator's earlier life."""
    return Standing(active=found.status.get("activeRevision", ""), replicas=found.status.get("replicas", 0))


def _why_not(error: SagameshError) -> NotDistributed:
    if isinstance(error, ForeignStreamError):
        return NotDistributed(statuses.FOREIGN, str(error), lasting=True)
    if isinstance(error, UnavailableError):
        return NotDistributed(statuses.NATS_UNAVAILABLE, str(error), lasting=False)
    return NotDistributed(statuses.NATS_REFUSED, str(error), lasting=True)
