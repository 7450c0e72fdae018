"""A saga's log and its consumers as data: what it needs on NATS JetStream, as bodies of its API.

Durations are nanoseconds, as the API takes them. `plan` compares and sends these; how a subject of a log is written is
`sagamesh.log.registers`'s, and what all sagas share, the two buckets, is `buckets`'s.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sagamesh.log import registers
from sagamesh.rules import compiled
from sagamesh.rules.local import LocalRules

SECOND = 1_000_000_000
"""In nanoseconds, as the API counts."""
MAX_MESSAGE = 320 * 1024
"""Bytes of one register: 256 KiB of the app's data, and room for the rest."""

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
        "duplicate_window": 2 * 60 * SECOND,  # the server's default, said so that it does not differ; nothing uses it
        "allow_direct": True,
    }


def retired_log(config: Config, namespace: str, saga: str) -> Config:
    """A deleted saga's log, before it goes: nothing can be written to it any more, and all of it can be read."""
    return {**config, "subjects": [f"retired.{namespace}.{saga}.>"]}


def consumer(participant: str, filters: Iterable[str]) -> Config:
    """A participant's durable consumer on a saga's log.

    `ack_wait` is how long the deliveries of a sidecar that died are nobody's. `max_ack_pending` bounds the instances
    that may wait at one participant: while its app is away the server's default of 1,000 would soon block all others.
    Concurrency is bounded by what its sidecars ask for. No `backoff`: it would add to the delay of every nak.
    """
    return {
        "name": participant,
        "durable_name": participant,
        "deliver_policy": "all",
        "ack_policy": "explicit",
        "ack_wait": 10 * SECOND,  # how long a step waits for another pod when its own has died
        "max_deliver": -1,
        "max_ack_pending": 20_000,
        "filter_subjects": sorted(filters),
        "replay_policy": "instant",
    }


def filters(rules: LocalRules) -> frozenset[str]:
    """The subjects that a participant listens to, by these rules. Empty: it owns no step and needs no consumer."""
    heard = {name for step in rules.own for name in compiled.listens_to(rules, step)}
    return frozenset(registers.filter_subject(rules.namespace, rules.saga, name) for name in heard)
