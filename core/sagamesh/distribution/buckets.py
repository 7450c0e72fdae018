"""The two buckets of NATS, their keys, and the words that keys end with. The only place that spells any of them.

In the rules bucket lies what sidecars carry out, in the sidecars' bucket what they tell of themselves. A key is written
as the subject of its entry. What entries hold is said by `rules.codec` and `heartbeat`; sagas' logs are `topology`'s.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from sagamesh.distribution.topology import SECOND, Config
from sagamesh.errors import UnreadableError
from sagamesh.log.registers import SagaKey
from sagamesh.rules.local import LocalRules

RULES_BUCKET = "sagamesh-rules"
SIDECARS_BUCKET = "sagamesh-sidecars"

HEARTBEAT_EVERY = 30
"""Seconds between the heartbeats of a sidecar of which nothing changes: two may get lost before it counts as gone."""
HEARTBEAT_TTL = 90
"""Seconds after which a sidecar that was silent counts as gone: three heartbeats."""

_ACTIVE, _RETIRED = ".active", ".retired"


def bucket_stream(bucket: str) -> str:
    """The stream that a bucket is, to the API of JetStream."""
    return f"KV_{bucket}"


RULES_STREAM = bucket_stream(RULES_BUCKET)
SIDECARS_STREAM = bucket_stream(SIDECARS_BUCKET)


def bucket_prefix(bucket: str) -> str:
    """What each key of a bucket begins with."""
    return f"$KV.{bucket}."


def bucket_keys(bucket: str) -> str:
    """Every key of a bucket, as a wildcard."""
    return f"{bucket_prefix(bucket)}>"


def rules_bucket(*, replicas: int = 1) -> Config:
    """Where rules are distributed; every document is pushed over core NATS as it is written, too."""
    return {
        **_bucket(RULES_BUCKET, replicas),
        "republish": {"src": bucket_keys(RULES_BUCKET), "dest": "sagamesh.rules.>"},
    }


def sidecars_bucket(*, replicas: int = 1) -> Config:
    """Where sidecars tell what they hold, for display. What is not renewed is gone after 90 seconds."""
    return {**_bucket(SIDECARS_BUCKET, replicas), "max_age": HEARTBEAT_TTL * SECOND}


def _bucket(name: str, replicas: int) -> Config:
    return {
        "name": bucket_stream(name),
        "subjects": [bucket_keys(name)],
        "storage": "file",
        "num_replicas": replicas,
        "retention": "limits",
        "discard": "new",
        "max_msgs_per_subject": 1,
        "max_age": 0,
        "allow_direct": True,
        "allow_rollup_hdrs": True,
    }


# -- keys of the rules bucket ------------------------------------------------------------------------------------


class BucketKey(NamedTuple):
    """What a key of the rules bucket says. `entry`: a revision, or the word that stands in its place."""

    namespace: str
    participant: str
    saga: str
    entry: str


def rules_subject(rules: LocalRules) -> str:
    """Where a rules document is written: once, since its key holds its content's hash."""
    return _rules_key(rules.namespace, rules.participant, rules.saga) + f".{rules.revision}"


def active_subject(namespace: str, participant: str, saga: str) -> str:
    """Where the start participant finds the revision that new instances take; empty where it starts none any more."""
    return _rules_key(namespace, participant, saga) + _ACTIVE


def retired_subject(namespace: str, participant: str, saga: str) -> str:
    """Where a participant finds that a saga was deleted, after everything of it has ended. What comes later counts."""
    return _rules_key(namespace, participant, saga) + _RETIRED


def _rules_key(namespace: str, participant: str, saga: str) -> str:
    return f"{bucket_prefix(RULES_BUCKET)}{namespace}.{participant}.{saga}"


def is_active_key(subject: str) -> bool:
    """Whether the entry names the revision that new instances take. It alone is written again and again."""
    return subject.endswith(_ACTIVE)


def is_retired_key(subject: str) -> bool:
    """Whether the entry says that the saga was deleted."""
    return subject.endswith(_RETIRED)


def bucket_key_of(subject: str) -> BucketKey:
    """What a subject says that is a key of the rules bucket. Raises UnreadableError for any other."""
    prefix = bucket_prefix(RULES_BUCKET)
    tokens = subject.removeprefix(prefix).split(".")
    if not subject.startswith(prefix) or len(tokens) != len(BucketKey._fields):
        raise UnreadableError(f"{subject!r} is no key of the rules bucket")
    return BucketKey(*tokens)


def saga_of_key(subject: str) -> SagaKey:
    """The saga that an entry of the rules bucket is about, by its key. Raises UnreadableError where it is none."""
    key = bucket_key_of(subject)
    return SagaKey(key.namespace, key.saga)


def saga_subjects(namespace: str, saga: str) -> str:
    """Every key of the rules bucket that belongs to a saga, as a wildcard."""
    return f"{_rules_key(namespace, '*', saga)}.*"


def participant_subjects(namespace: str, participant: str) -> str:
    """Every key of the rules bucket that a participant reads, as a wildcard."""
    return f"{bucket_prefix(RULES_BUCKET)}{namespace}.{participant}.>"


def pushed_subjects(namespace: str, participant: str) -> str:
    """Where those keys are pushed as they are written, as a wildcard of core NATS."""
    return f"sagamesh.rules.{namespace}.{participant}.>"


# -- keys of the sidecars' bucket --------------------------------------------------------------------------------


def heartbeat_subject(namespace: str, participant: str, pod: str) -> str:
    """Where a sidecar tells what it holds. What a token of NATS cannot hold of the pod's name becomes `_`."""
    token = re.sub(r"[^A-Za-z0-9_=-]", "_", pod) or "_"
    return f"{bucket_prefix(SIDECARS_BUCKET)}{namespace}.{participant}.{token}"


def heartbeat_subjects(namespace: str = "*") -> str:
    """Where all sidecars (of a namespace) do, as a wildcard."""
    return f"{bucket_prefix(SIDECARS_BUCKET)}{namespace}.*.*"
