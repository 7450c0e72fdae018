"""What must hold at every moment: seen at each write of an operator, and at each instance that begins."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from sagamesh.distribution import buckets, heartbeat, topology
from sagamesh.distribution.plan import installation_of
from sagamesh.log import registers
from sagamesh.log.registers import Instance, SagaKey
from sagamesh.rules.local import LocalRules
from sagamesh_jetstream.client.memory import MemoryStreams
from sagamesh_jetstream.client.ports import JsonObject
from sagamesh_operator.resource import Note, Resource
from support.distribution.operators import EPOCH, INSTALLATION, Operator
from support.fakes.memory_cluster import MemoryCluster

UNDER_WAY = 15.0
"""Seconds after which whatever is under way has ended: only then does it count what an operator was told since."""
RULES, SIDECARS = buckets.RULES_STREAM, buckets.SIDECARS_STREAM


class Witness:
    """`violations`: what went wrong so far. `strict`: nobody but one operator at a time changes anything in NATS."""

    def __init__(self, streams: MemoryStreams, cluster: MemoryCluster, *, strict: bool) -> None:
        self.violations: list[str] = []
        self.revisions: dict[tuple[SagaKey, str], Mapping[str, LocalRules]] = {}
        """What every revision that was ever wanted looks like."""
        self.open: dict[Instance, LocalRules] = {}
        """The instances that were accepted and have not ended."""
        self.operators: dict[str, Operator] = {}
        self.last_write = 0.0
        self.noted: Callable[[Note], None] = lambda _note: None
        """Called with each Event, before it is sent."""
        self._streams = streams
        self._cluster = cluster
        self._strict = strict
        self._read: dict[tuple[str, str], frozenset[str]] = {}
        self._heard: dict[str, set[str]] = {}
        self._generations: dict[tuple[str, str], int] = {}
        self._checks: Mapping[str, Callable[[str, str, Any], None]] = {
            "CONSUMER.CREATE": self._consumer_written,
            "STREAM.DELETE": self._log_deleted,
            "STREAM.PURGE": self._entry_purged,
        }

    def blame(self, words: str) -> None:
        self.violations.append(f"{words}, at {self._now():.1f} s")

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    # -- what operators do

    def writes(self, who: str, verb: str, body: Any) -> None:
        self.last_write = self._now()
        self.remember_filters()
        if verb.startswith(buckets.bucket_prefix(buckets.RULES_BUCKET)):
            self._entry_written(who, verb, body)
            return
        if not verb.startswith("STREAM.CREATE.") and self._is_foreign(verb.split(".")[2]):
            self.blame(f"{who} touches what is foreign: {verb}")
        if check := self._checks.get(verb[: verb.index(".", verb.index(".") + 1)]):
            check(who, verb, body)

    def reads(self, who: str, verb: str, reply: JsonObject) -> None:
        if verb.startswith("CONSUMER.INFO."):
            self._read[who, verb.removeprefix("CONSUMER.INFO.")] = frozenset(reply["config"]["filter_subjects"])

    def says(self, who: str, resource: Resource, status: JsonObject) -> None:
        self.last_write = self._now()
        if resource.uid in self.operators[who].forgotten:
            self.blame(f"{who} says something of {resource.key}, of which it knows that it was deleted")
        before = self._generations.get((who, resource.uid), 0)
        if resource.generation < before:
            self.blame(f"{who} takes older news of {resource.key}: {resource.generation} after {before}")
        self._generations[who, resource.uid] = resource.generation
        distributed = next(c for c in status["conditions"] if c["type"] == "Distributed")
        if distributed["status"] == "True" and status["activeRevision"] != status["revision"]:
            self.blame(f"{who} says that {resource.key} is distributed, while an older revision is")

    def records(self, who: str, key: SagaKey, note: Note) -> None:
        self.noted(note)
        if note.reason in ("Retiring", "Retired") and self._known_since(who, key) is not None:
            self.blame(f"{who} says {note.reason} of {key}, which is there again")

    # -- of each kind of write

    def _entry_written(self, who: str, subject: str, body: bytes) -> None:
        if self._is_foreign(RULES):
            self.blame(f"{who} writes into a foreign bucket: {subject}")
        if not buckets.is_active_key(subject) or not body:
            return
        key, revision = buckets.saga_of_key(subject), body.decode()
        documents = self.revisions.get((key, revision))
        if documents is None:
            self.blame(f"{who} makes {revision} of {key} active, which nobody wanted")
            return
        for name, missing in self._unheard(key, documents, ever=not self._strict).items():
            self.blame(f"{who} makes {revision} of {key} active, and {name} does not listen to {missing}")

    def _unheard(self, key: SagaKey, documents: Mapping[str, LocalRules], *, ever: bool) -> dict[str, list[str]]:
        """Participant -> subjects that it needs and does not listen to (`ever`: never has)."""
        [name] = registers.streams(*key)
        stream = self._streams.stream(name)
        missing = {}
        for participant, rules in documents.items():
            standing = stream.consumers.get(participant, {}) if stream else {}
            heard = set(standing.get("filter_subjects", ()))
            if ever:
                heard |= self._heard.get(f"{name}.{participant}", set())
            missing[participant] = sorted(topology.filters(rules) - heard)
        return {participant: subjects for participant, subjects in missing.items() if subjects}

    def _consumer_written(self, who: str, verb: str, body: JsonObject) -> None:
        filters = frozenset(body["config"]["filter_subjects"])
        lost = self._read.get((who, verb.removeprefix("CONSUMER.CREATE.")), frozenset()) - filters
        if lost and body["action"] == "update":
            self.blame(f"{who} takes {sorted(lost)} from a consumer: {verb}")
        if "action" not in body:
            self.blame(f"{who} overwrites what somebody else may have created: {verb}")

    def _log_deleted(self, who: str, verb: str, _: Any) -> None:
        name = verb.removeprefix("STREAM.DELETE.")
        key = registers.saga_of_stream(name)
        if key is None:
            self.blame(f"{who} deletes what is no log: {verb}")
            return
        self._must_not_know(who, key, verb)
        if running := [instance.id for instance in self.open if instance.stream == name]:
            self.blame(f"{who} deletes the log of {key}, while {running} run")
        for message in self._streams.last(SIDECARS, [buckets.heartbeat_subjects(key.namespace)]):
            old = EPOCH + self._now() - message.time > UNDER_WAY
            if old and message.body and key.saga in heartbeat.decode(message.body).starts:
                self.blame(f"{who} deletes the log of {key}, which {message.subject} still starts")

    def _entry_purged(self, who: str, verb: str, body: JsonObject) -> None:
        self._must_not_know(who, buckets.saga_of_key(body["filter"]), verb)

    def _must_not_know(self, who: str, key: SagaKey, verb: str) -> None:
        since = self._known_since(who, key)
        if since is not None and self._now() - since > UNDER_WAY:
            self.blame(f"{who} takes away what belongs to {key}, which it knows is there: {verb}")

    def _known_since(self, who: str, key: SagaKey) -> float | None:
        """Since when its watch has told of the Saga that is there; None: it has not, or that one was deleted."""
        uid, since = self.operators[who].knows.get(key, ("", 0.0))
        there = self._cluster.objects.get(key)
        return since if there is not None and there["metadata"]["uid"] == uid else None

    def _is_foreign(self, name: str) -> bool:
        stream = self._streams.stream(name)
        return stream is not None and installation_of(stream.config) != INSTALLATION

    def remember_filters(self) -> None:
        """What each consumer has ever listened to: another may take it away a moment later."""
        for key, _ in self.revisions:
            [name] = registers.streams(*key)
            if (stream := self._streams.stream(name)) is not None:
                for participant, config in stream.consumers.items():
                    self._heard.setdefault(f"{name}.{participant}", set()).update(config["filter_subjects"])

    # -- what sidecars do

    def accepted(self, instance: Instance, rules: LocalRules) -> None:
        """An instance has begun."""
        self.open[instance] = rules
        key = SagaKey(instance.namespace, instance.saga)
        documents = self.revisions.get((key, rules.revision))
        if documents is None:
            self.blame(f"{instance.id} began by {rules.revision}, which nobody wanted")
        elif self._strict:
            for name, missing in self._unheard(key, documents, ever=False).items():
                self.blame(f"{instance.id} of {key} began, and {name} does not listen to {missing}")
