"""Streams, consumers and buckets as data: what a saga needs on NATS JetStream, as bodies of its API.

Durations are nanoseconds, as the API takes them. Whoever provisions compares and sends these; nothing here talks to a
server.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from sagamesh.log import registers
from sagamesh.log.registers import SagaKey
from sagamesh.rules import compiled
from sagamesh.rules.local import LocalRules

SECOND = 1_000_000_000
RULES_BUCKET = "sagamesh-rules"
SIDECARS_BUCKET = "sagamesh-sidecars"
MAX_MESSAGE = 320 * 1024
"""Bytes of one register: 256 KiB of the app's data, and room for the rest."""

HEARTBEAT_EVERY = 30
"""Seconds between the heartbeats of a sidecar of which nothing changes: two may get lost before it counts as gone."""
HEARTBEAT_TTL = 90
"""Seconds after which a sidecar that was silent counts as gone."""

Config = dict[str, Any]


def streams(namespace: str, saga: str, *, replicas: int = 1) -> tuple[Config, ...]:
    """All streams of a saga's log (see `registers`)."""
    parts = zip(registers.streams(namespace, saga), registers.subjects(namespace, saga), strict=True)
    return tuple(_log_stream(name, subjects, replicas) for name, subjects in parts)


def _log_stream(name: str, subjects: str, replicas: int) -> Config:
    """Every subject is written once, and nothing is ever dropped to make room."""
    return {
        "name": name,
        "subjects": [subjects],
        "storage": "file",
        "num_replicas": replicas,
        "retention": "limits",
        "discard": "new",
        "discard_new_per_subject": True,
        "max_msgs_per_subject": 1,
        "max_msgs": -1,
        "max_bytes": -1,
        "max_age": 0,
        "max_msg_size": MAX_MESSAGE,
        "duplicate_window": 2 * 60 * SECOND,
        "allow_direct": True,
    }


def consumer(participant: str, filters: Iterable[str]) -> Config:
    """A participant's durable consumer on a saga's log.

    `max_ack_pending` bounds the instances that may wait at one participant; concurrency is bounded by what its
    sidecars ask for. No `backoff`: it would add to the delay of every nak.
    """
    return {
        "name": participant,
        "durable_name": participant,
        "deliver_policy": "all",
        "ack_policy": "explicit",
        "ack_wait": 10 * SECOND,
        "max_deliver": -1,
        "max_ack_pending": 20_000,
        "filter_subjects": sorted(filters),
        "replay_policy": "instant",
    }


def filters(rules: LocalRules) -> frozenset[str]:
    """The subjects that a participant listens to, by these rules. Empty: it owns no step and needs no consumer."""
    heard = {name for step in rules.own for name in compiled.listens_to(rules, step)}
    return frozenset(registers.filter_subject(rules.namespace, rules.saga, name) for name in heard)


def consumers(documents: Mapping[str, LocalRules]) -> dict[str, frozenset[str]]:
    """Participant -> filters, for those that own steps."""
    found = {name: filters(rules) for name, rules in documents.items()}
    return {name: subjects for name, subjects in found.items() if subjects}


def rules_bucket(*, replicas: int = 1) -> Config:
    """Where rules are distributed; every document is pushed over core NATS as it is written, too."""
    return {
        **_bucket(RULES_BUCKET, replicas),
        "republish": {"src": f"$KV.{RULES_BUCKET}.>", "dest": "sagamesh.rules.>"},
    }


def sidecars_bucket(*, replicas: int = 1) -> Config:
    """Where sidecars tell what they hold, for display. What is not renewed is gone after 90 seconds."""
    return {**_bucket(SIDECARS_BUCKET, replicas), "max_age": HEARTBEAT_TTL * SECOND}


def _bucket(name: str, replicas: int) -> Config:
    return {
        "name": f"KV_{name}",
        "subjects": [f"$KV.{name}.>"],
        "storage": "file",
        "num_replicas": replicas,
        "retention": "limits",
        "discard": "new",
        "max_msgs_per_subject": 1,
        "max_age": 0,
        "allow_direct": True,
        "allow_rollup_hdrs": True,
    }


def rules_subject(rules: LocalRules) -> str:
    """Where a rules document is written: once, since its key holds its content's hash."""
    return f"$KV.{RULES_BUCKET}.{rules.namespace}.{rules.participant}.{rules.saga}.{rules.revision}"


def active_subject(namespace: str, participant: str, saga: str) -> str:
    """Where the start participant finds the revision that new instances take; empty where it starts none any more."""
    return f"$KV.{RULES_BUCKET}.{namespace}.{participant}.{saga}.active"


def retired_subject(namespace: str, participant: str, saga: str) -> str:
    """Where a participant finds that a saga was deleted, after everything of it has ended. What comes later counts."""
    return f"$KV.{RULES_BUCKET}.{namespace}.{participant}.{saga}.retired"


def saga_subjects(namespace: str, saga: str) -> str:
    """Every key of the rules bucket that belongs to a saga, as a wildcard."""
    return f"$KV.{RULES_BUCKET}.{namespace}.*.{saga}.*"


class BucketKey(NamedTuple):
    """The key of an entry of the rules bucket. `entry` is a revision, `active` or `retired`."""

    namespace: str
    participant: str
    saga: str
    entry: str


def bucket_key_of(subject: str) -> BucketKey:
    """The key that a subject of the rules bucket stands for."""
    return BucketKey(*subject.split(".")[2:])


def saga_of_entry(subject: str) -> SagaKey:
    """The saga that an entry of the rules bucket belongs to, by its subject."""
    key = bucket_key_of(subject)
    return SagaKey(key.namespace, key.saga)


def fits_wildcard(subject: str, wildcard: str) -> bool:
    """Whether a subject fits a wildcard whose every `*` stands for one token."""
    tokens, pattern = subject.split("."), wildcard.split(".")
    return len(tokens) == len(pattern) and all(w in ("*", t) for t, w in zip(tokens, pattern, strict=True))


def participant_subjects(namespace: str, participant: str) -> str:
    """Every key of the rules bucket that a participant reads, as a wildcard."""
    return f"$KV.{RULES_BUCKET}.{namespace}.{participant}.>"


def pushed_subjects(namespace: str, participant: str) -> str:
    """Where those keys are pushed as they are written, as a wildcard of core NATS."""
    return f"sagamesh.rules.{namespace}.{participant}.>"


def heartbeat_subject(namespace: str, participant: str, pod: str) -> str:
    """Where a sidecar tells what it holds. What a token of NATS cannot hold of the pod's name becomes `_`."""
    token = re.sub(r"[^A-Za-z0-9_=-]", "_", pod) or "_"
    return f"$KV.{SIDECARS_BUCKET}.{namespace}.{participant}.{token}"


def heartbeat_subjects(namespace: str = "*") -> str:
    """Where all sidecars (of a namespace) do, as a wildcard."""
    return f"$KV.{SIDECARS_BUCKET}.{namespace}.*.*"
