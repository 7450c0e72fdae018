"""What must stand in NATS for a saga, what of it is missing, and in which order that is made good. No I/O.

`plan` judges what `sagamesh_jetstream.upkeep.distribute` has gathered, which carries it out afterwards. How streams and
consumers look is `topology`'s, and buckets `buckets`'s.

The order is the whole point: a filter added to a consumer later never delivers what was passed over. So `active` moves
last, when every consumer already listens to what the new revision needs. Filters only grow, since instances of older
revisions may still run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

from msgspec import json, structs

from sagamesh.api_group import PREFIX
from sagamesh.distribution import buckets, topology
from sagamesh.distribution.topology import Config
from sagamesh.errors import SagameshError, UnreadableError
from sagamesh.log import registers
from sagamesh.rules import codec
from sagamesh.rules.local import LocalRules

INSTALLATION, FINGERPRINT = f"{PREFIX}installation", f"{PREFIX}config"
"""Metadata: whose it is; and the hash of what we asked for, since the server adds to what it stores."""

REMEMBERED = 2048
"""Documents that are not read anew at each look: those of a hundred sagas of five participants in four revisions."""


class ForeignStreamError(SagameshError):
    """A stream or bucket of that name belongs to somebody else, and is left alone."""

    def __init__(self, stream: str, owner: str | None, installation: str) -> None:
        whose = f"belongs to the installation {owner!r}" if owner else "was not made by Sagamesh"
        super().__init__(
            f"the stream {stream} {whose}, this is the installation {installation!r}: use another NATS account, or "
            f"delete the stream if nobody needs what it holds"
        )


class ApiRequest(NamedTuple):
    """An action: ask the API of JetStream to create or update something."""

    verb: str
    body: Config


class BucketPut(NamedTuple):
    """An action: write an entry of the rules bucket."""

    subject: str
    body: bytes


Change = ApiRequest | BucketPut

THEIRS = frozenset({"num_replicas", "max_bytes"})
"""How large a stream may grow, and on how many servers it is: an administrator may change that on purpose."""


class Observed(NamedTuple):
    """What stands in NATS of that which one saga needs; what is missing has no entry.

    `streams`: configs by name, buckets included. `consumers`: those of the saga's stream, by participant. `entries`:
    bodies of the rules bucket that are about this saga, by subject, those of older revisions included.
    """

    streams: Mapping[str, Config]
    consumers: Mapping[str, Config]
    entries: Mapping[str, bytes]


def plan(
    documents: Mapping[str, LocalRules], observed: Observed, *, installation: str = "default", replicas: int = 1
) -> tuple[Change, ...]:
    """What is to be done, in this order, until these documents stand. Raises ForeignStreamError before anything is."""
    streams = [
        action
        for wanted in _wanted_streams(documents, replicas)
        for action in _plan_stream(wanted, observed.streams.get(wanted["name"]), installation)
    ]
    entries = observed.entries
    wanted = {**_withdrawn(documents, entries), **_bystanders(documents, entries), **_entries(documents)}
    puts = [BucketPut(s, body) for s, body in wanted.items() if entries.get(s) != body]
    return (*streams, *_plan_consumers(documents, observed, installation), *puts)


def _wanted_streams(documents: Mapping[str, LocalRules], replicas: int) -> tuple[Config, ...]:
    """The buckets of all sagas, and the saga's log. `replicas`: of each."""
    saga = any_document(documents)
    return (
        buckets.rules_bucket(replicas=replicas),
        buckets.sidecars_bucket(replicas=replicas),
        *topology.streams(saga.namespace, saga.saga, replicas=replicas),
    )


def _plan_stream(wanted: Config, standing: Config | None, installation: str) -> Iterator[ApiRequest]:
    name, config = wanted["name"], _marked(wanted, installation)
    if standing is None:
        yield ApiRequest(f"STREAM.CREATE.{name}", config)
        return
    if (owner := installation_of(standing)) != installation:
        raise ForeignStreamError(name, owner, installation)
    if _differs(config, standing):
        kept = {key: standing[key] for key in THEIRS if key in standing}
        yield ApiRequest(f"STREAM.UPDATE.{name}", {**config, **kept})


def _plan_consumers(documents: Mapping[str, LocalRules], observed: Observed, installation: str) -> Iterator[ApiRequest]:
    saga = any_document(documents)
    [stream] = registers.streams(saga.namespace, saga.saga)
    for participant, needed in sorted(needed_filters(documents, observed.entries).items()):
        standing = observed.consumers.get(participant, {})
        heard = frozenset(standing.get("filter_subjects", ()))
        config = _marked(topology.consumer(participant, needed | heard), installation)
        if _differs(config, standing):
            # Said explicitly: without an action the server would overwrite whatever somebody else has just created.
            action = "update" if standing else "create"
            body = {"stream_name": stream, "action": action, "config": config}
            yield ApiRequest(f"CONSUMER.CREATE.{stream}.{participant}", body)


def needed_filters(
    documents: Mapping[str, LocalRules], entries: Mapping[str, bytes] = MappingProxyType({})
) -> dict[str, frozenset[str]]:
    """Participant -> filters, by these documents and by all that stand.

    A consumer alone does not remember them well enough: whoever updates one may overwrite the filters of somebody who
    did so a moment before. But the documents of both are there by the time of the last look.
    """
    needed: dict[str, frozenset[str]] = {}
    earlier = filter(None, map(_filters, entries.values()))
    for participant, filters in (*earlier, *((name, topology.filters(rules)) for name, rules in documents.items())):
        needed[participant] = needed.get(participant, frozenset()) | filters
    return {participant: filters for participant, filters in needed.items() if filters}


def readable(bodies: Iterable[bytes]) -> Iterator[LocalRules]:
    """The documents among them. Not `active`, and not those of a later version, which looks after its own filters."""
    return filter(None, map(_document, bodies))


@lru_cache(maxsize=REMEMBERED)
def _document(body: bytes) -> LocalRules | None:
    """Remembered, for each look is at the documents of every revision that ever stood."""
    try:
        return codec.decode_rules(body)
    except UnreadableError:
        return None


@lru_cache(maxsize=REMEMBERED)
def _filters(body: bytes) -> tuple[str, frozenset[str]] | None:
    """Whose document it is, and what that participant listens to by it."""
    rules = _document(body)
    return (rules.participant, topology.filters(rules)) if rules else None


def _entries(documents: Mapping[str, LocalRules]) -> dict[str, bytes]:
    """Subject -> body, `active` last. A document's key holds its content's hash: what differs there is damaged."""
    saga = any_document(documents)
    entries = {buckets.rules_subject(rules): codec.encode_rules(rules) for rules in documents.values()}
    active = buckets.active_subject(saga.namespace, saga.start_participant, saga.saga)
    return {**entries, active: saga.revision.encode()}


def _bystanders(documents: Mapping[str, LocalRules], entries: Mapping[str, bytes]) -> dict[str, bytes]:
    """Rules without steps, for those whom a revision does without.

    Their consumers hear of its instances all the same, and who lacks the rules of a delivery holds it.
    """
    every = (*documents.values(), *readable(entries.values()))
    everybody = {rules.participant for rules in every}
    idle = [
        structs.replace(rules, participant=participant, own=())
        for rules in {rules.revision: rules for rules in every}.values()
        for participant in sorted(everybody - {rules.start_participant, *rules.outline.values()})
    ]
    return {buckets.rules_subject(rules): codec.encode_rules(rules) for rules in idle}


def _withdrawn(documents: Mapping[str, LocalRules], entries: Mapping[str, bytes]) -> dict[str, bytes]:
    """`active` of those who started the saga before: emptied, or two participants would start it."""
    saga = any_document(documents)
    ours = buckets.active_subject(saga.namespace, saga.start_participant, saga.saga)
    return {subject: b"" for subject in entries if subject != ours and buckets.is_active_key(subject)}


def any_document(documents: Mapping[str, LocalRules]) -> LocalRules:
    """One of them, for what they have in common."""
    common = {(rules.namespace, rules.saga, rules.start_participant, rules.revision) for rules in documents.values()}
    if len(common) != 1 or not next(iter(common))[-1]:
        raise ValueError(f"only the documents of one revision of one saga are distributed together, not {common}")
    return next(iter(documents.values()))


def _marked(config: Config, installation: str) -> Config:
    asked = {key: value for key, value in config.items() if key not in THEIRS}
    fingerprint = hashlib.sha256(json.encode(asked, order="sorted")).hexdigest()[:10]  # as long as a revision
    return {**config, "metadata": {INSTALLATION: installation, FINGERPRINT: fingerprint}}


def installation_of(config: Config) -> str | None:
    """The installation that has made a stream or bucket; None: it was not Sagamesh."""
    return _metadata(config).get(INSTALLATION)


def _metadata(config: Config) -> Mapping[str, str]:
    return config.get("metadata") or {}


def _differs(wanted: Config, standing: Config) -> bool:
    """Whether what was asked for, or what was made of it since, is not what is wanted.

    Only our own keys are compared: the server stores more than it was asked for, and `_nats.` metadata beside it.
    """
    marks = _metadata(standing)
    other = THEIRS | {"metadata"}
    drifted = any(standing.get(key) != value for key, value in wanted.items() if key not in other)
    return drifted or any(marks.get(key) != value for key, value in _metadata(wanted).items())
