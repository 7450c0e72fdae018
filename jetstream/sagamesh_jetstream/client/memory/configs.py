"""What the server makes of a configuration that it takes, and why it takes one not. Stores nothing.

As nats-server 2.15 does; `tests/contract/test_jetstream.py` holds both side by side.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import combinations, permutations
from typing import Any

from sagamesh_jetstream.client.memory.subjects import overlap, within
from sagamesh_jetstream.client.ports import JetStreamError, JsonObject

LEVEL, LEVEL_NEEDED, VERSION = "_nats.level", "_nats.req.level", "_nats.ver"
"""Metadata that the server adds: what it can do, what the configuration needs of it, and its version."""
ADDED = {LEVEL: "5", LEVEL_NEEDED: "0", VERSION: "2.15.1"}
ADDED_IN_LISTS = (LEVEL_NEEDED,)

TWO_MINUTES = 120_000_000_000
"""Nanoseconds: the server's own window for duplicates, where no message dies sooner."""

# What a real server answers to a configuration that says nothing else: the contract suite compares both.
STREAM_DEFAULTS: Mapping[str, Any] = {
    "retention": "limits",
    "max_consumers": -1,
    "max_msgs": -1,
    "max_bytes": -1,
    "max_age": 0,
    "max_msgs_per_subject": -1,
    "max_msg_size": -1,
    "discard": "old",
    "storage": "file",
    "num_replicas": 1,
    "compression": "none",
    "allow_direct": False,
    "mirror_direct": False,
    "sealed": False,
    "deny_delete": False,
    "deny_purge": False,
    "allow_rollup_hdrs": False,
    "consumer_limits": {},
    "allow_msg_ttl": False,
}
# The same, of consumers.
CONSUMER_DEFAULTS: Mapping[str, Any] = {
    "deliver_policy": "all",
    "ack_policy": "explicit",
    "ack_wait": 30_000_000_000,
    "max_deliver": -1,
    "replay_policy": "instant",
    "max_waiting": 512,
    "max_ack_pending": 1000,
    "num_replicas": 0,
}


def stored_stream(config: JsonObject) -> JsonObject:
    """The configuration of a stream, as it stands when it was taken."""
    whole = {**STREAM_DEFAULTS, **config}
    age = whole["max_age"]
    whole.setdefault("duplicate_window", min(TWO_MINUTES, age) if age else TWO_MINUTES)
    return {**whole, "metadata": {**config.get("metadata", {}), **ADDED}}


def stored_consumer(config: JsonObject) -> JsonObject:
    """The configuration of a consumer, as it stands when it was taken."""
    return {**CONSUMER_DEFAULTS, **config, "metadata": {**config.get("metadata", {}), **ADDED}}


def listed(info: JsonObject) -> JsonObject:
    """What is told of a stream or consumer among others: of the server's own metadata only what is needed."""
    there = info["config"]["metadata"]
    kept = {name: value for name, value in there.items() if name not in ADDED or name in ADDED_IN_LISTS}
    return {**info, "config": {**info["config"], "metadata": kept}}


def check_stream(asked: str, config: JsonObject, others: Iterable[JsonObject], servers: int) -> None:
    """Raises JetStreamError where the server would refuse it. `others`: the configurations of all other streams."""
    if asked.rsplit(".", 1)[1] != config.get("name"):
        raise JetStreamError(asked, 400, 10056, "stream name in subject does not match request")
    if (replicas := config.get("num_replicas", 1)) > servers:
        raise (
            too_few_servers(asked)
            if servers == 1
            else JetStreamError(asked, 400, 10005, f"no suitable peers for placement, {replicas} are needed")
        )
    for one, other in combinations(config["subjects"], 2):
        if overlap(one, other):
            raise JetStreamError(asked, 500, 10052, f'subject "{one}" overlaps with "{other}"')
    theirs = [subject for other in others for subject in other["subjects"]]
    if any(overlap(mine, subject) for mine in config["subjects"] for subject in theirs):
        raise JetStreamError(asked, 400, 10065, "subjects overlap with an existing stream")


def too_few_servers(asked: str) -> JetStreamError:
    """Of a server that is none of a cluster."""
    return JetStreamError(asked, 500, 10074, "replicas > 1 not supported in non-clustered mode")


def check_change_of_stream(asked: str, before: JsonObject, after: JsonObject) -> None:
    """Raises JetStreamError for what can never be changed."""
    if before["storage"] != after["storage"]:
        raise JetStreamError(asked, 500, 10052, "stream configuration update can not change storage type")


def check_consumer(asked: str, config: JsonObject) -> None:
    """Raises JetStreamError where the server would refuse it. A filter that no subject of the stream fits is taken."""
    if any(within(one, other) for one, other in permutations(config.get("filter_subjects", ()), 2)):
        raise JetStreamError(asked, 400, 10138, "consumer subject filters cannot overlap")


def check_change_of_consumer(asked: str, before: JsonObject, after: JsonObject) -> None:
    """Raises JetStreamError for what can never be changed."""
    for field, name in (("deliver_policy", "deliver policy"), ("ack_policy", "ack policy")):
        if before[field] != after[field]:
            raise JetStreamError(asked, 500, 10012, f"{name} can not be updated")
