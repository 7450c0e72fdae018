"""What live sidecars have told of themselves: who there is, and which revisions each holds. For display."""

from __future__ import annotations

import logging
from typing import NamedTuple

from sagamesh.distribution import buckets, heartbeat
from sagamesh.distribution.heartbeat import Heartbeat
from sagamesh.errors import UnreadableError
from sagamesh_jetstream.client.ports import JetStream
from sagamesh_jetstream.upkeep.lookups import ask, stored, subjects_in

logger = logging.getLogger(__name__)


class LastHeartbeat(NamedTuple):
    """The last heartbeat of a sidecar, and when it came (seconds, by any one clock)."""

    heartbeat: Heartbeat
    at: float


class Fleet:
    """The live sidecars, by the subjects of their heartbeats: one for each namespace, participant and pod."""

    def __init__(self) -> None:
        self._heard: dict[str, LastHeartbeat] = {}

    def hear(self, subject: str, body: bytes, at: float) -> Heartbeat | None:
        """Take what was written at `at`; an empty body is a goodbye. What cannot be read is ignored.

        Gives the heartbeat that changed anything (the last one of who said goodbye), else None.
        """
        before = self._heard.get(subject)
        if not body:
            self._heard.pop(subject, None)
            return before.heartbeat if before else None
        try:
            told = _read(subject, body)
        except UnreadableError as error:
            logger.warning("a heartbeat that cannot be read: %s: %s", subject, error)
            return None
        self._heard[subject] = LastHeartbeat(told, max(at, before.at) if before else at)
        return None if before and before.heartbeat == told else told

    def expire(self, now: float, ttl: float = buckets.HEARTBEAT_TTL) -> tuple[Heartbeat, ...]:
        """Forget who was silent for `ttl` seconds, and say whom."""
        silent = {subject: heard for subject, heard in self._heard.items() if now - heard.at >= ttl}
        for subject in silent:
            del self._heard[subject]
        return tuple(heard.heartbeat for heard in silent.values())

    def of(self, namespace: str, participant: str) -> tuple[Heartbeat, ...]:
        """The live sidecars of a participant, by pod."""
        told = (heard.heartbeat for heard in self._heard.values())
        ours = [one for one in told if (one.namespace, one.participant) == (namespace, participant)]
        return tuple(sorted(ours, key=lambda one: one.pod))

    def starters(self, namespace: str, saga: str) -> frozenset[str]:
        """The participants of which a live sidecar says that it starts the saga."""
        told = (heard.heartbeat for heard in self._heard.values())
        return frozenset(one.participant for one in told if one.namespace == namespace and saga in one.starts)

    def count(self, namespace: str, participant: str, saga: str, revision: str) -> tuple[int, int]:
        """The live sidecars of a participant, and those among them that hold the revision."""
        live = self.of(namespace, participant)
        return len(live), sum(revision in one.holds.get(saga, ()) for one in live)


def _read(subject: str, body: bytes) -> Heartbeat:
    told = heartbeat.decode(body)
    if buckets.heartbeat_subject(told.namespace, told.participant, told.pod) != subject:
        raise UnreadableError("it says that it belongs elsewhere")
    return told


async def heartbeats(js: JetStream, namespace: str = "*") -> dict[str, bytes]:
    """What stands in the sidecars' bucket, by subject: the server throws away what was not renewed.

    Without the bucket nothing does. Raises JetStreamError and UnavailableError.
    """
    wanted = buckets.heartbeat_subjects(namespace)
    first = await ask(js, f"STREAM.INFO.{buckets.SIDECARS_STREAM}", {"subjects_filter": wanted})
    listed = await subjects_in(js, buckets.SIDECARS_STREAM, wanted, first)
    # What has just run out is as if goodbye had been said.
    return dict.fromkeys(listed, b"") | await stored(js, buckets.SIDECARS_STREAM, listed)


async def read_fleet(js: JetStream, namespace: str = "*") -> Fleet:
    """Who has told of itself and is not silent for too long. Raises JetStreamError and UnavailableError."""
    fleet = Fleet()
    for subject, body in (await heartbeats(js, namespace)).items():
        fleet.hear(subject, body, 0.0)
    return fleet
