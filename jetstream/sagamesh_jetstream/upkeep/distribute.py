"""A saga's way to its participants: what must stand in NATS, what of it is missing, and how that is made good.

`plan` decides, `distribute` looks and acts until a look finds nothing left to do. So it may be interrupted anywhere,
run again, and run twice at once. What NATS holds is the only state; there is no Kubernetes and no instance in here.

The order is the whole point: a filter added to a consumer later never delivers what was passed over. So `active` moves
last, when every consumer already listens to what the new revision needs. Filters only grow, since instances of older
revisions may still run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

from msgspec import structs

from sagamesh.distribution import topology
from sagamesh.distribution.topology import Config
from sagamesh.errors import SagameshError, UnreadableError
from sagamesh.log import registers
from sagamesh.rules import codec
from sagamesh.rules.local import LocalRules
from sagamesh_jetstream.client.ports import JetStream, JetStreamError, JsonObject
from sagamesh_jetstream.upkeep.lookups import STREAM_MISSING, ask_all, stored, subjects

INSTALLATION = "sagamesh.dev/installation"
FINGERPRINT = "sagamesh.dev/config"
"""Metadata: whose it is; and the hash of what we asked for, since the server adds to what it stores."""

LOOKS = 10
PAGE = 250
"""Subjects of one read: what the server answers at once."""
TOO_FEW_SERVERS = frozenset({10005, 10074})
"""A cluster with fewer servers than replicas; a server that is none."""
OVERTAKEN = frozenset({10058, 10148, 10149, STREAM_MISSING})
"""Somebody else created or deleted it since we looked: look again."""


class ForeignStreamError(SagameshError):
    """A stream or bucket of that name belongs to somebody else, and is left alone."""

    def __init__(self, stream: str, owner: str | None, installation: str) -> None:
        whose = f"belongs to the installation {owner!r}" if owner else "was not made by Sagamesh"
        super().__init__(
            f"the stream {stream} {whose}, this is the installation {installation!r}: use another NATS account, or "
            f"delete the stream if nobody needs what it holds"
        )
        self.stream = stream
        self.owner = owner


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


class Distributed(NamedTuple):
    """One revision stands everywhere and is the active one. `actions`: what that took; none if it stood already.

    `replicas`: on how many servers each entry of the saga's log is.
    """

    revision: str
    actions: tuple[Change, ...]
    replicas: int


# -- deciding ----------------------------------------------------------------------------------------------------


def plan(
    documents: Mapping[str, LocalRules], observed: Observed, *, installation: str = "default", replicas: int = 1
) -> tuple[Change, ...]:
    """What is to be done, in this order, until these documents stand. Raises ForeignStreamError before anything is."""
    streams = [
        action
        for wanted in _streams(documents, replicas)
        for action in _plan_stream(wanted, observed.streams.get(wanted["name"]), installation)
    ]
    entries = observed.entries
    wanted = {**_withdrawn(documents, entries), **_bystanders(documents, entries), **_entries(documents)}
    puts = [BucketPut(s, body) for s, body in wanted.items() if entries.get(s) != body]
    return (*streams, *_plan_consumers(documents, observed, installation), *puts)


def _streams(documents: Mapping[str, LocalRules], replicas: int) -> tuple[Config, ...]:
    saga = _any(documents)
    return (
        topology.rules_bucket(replicas=replicas),
        topology.sidecars_bucket(replicas=replicas),
        *topology.streams(saga.namespace, saga.saga, replicas=replicas),
    )


def _plan_stream(wanted: Config, found: Config | None, installation: str) -> Iterator[ApiRequest]:
    name, config = wanted["name"], _marked(wanted, installation)
    if found is None:
        yield ApiRequest(f"STREAM.CREATE.{name}", config)
        return
    if (owner := owner_of(found)) != installation:
        raise ForeignStreamError(name, owner, installation)
    if _differs(config, found):
        yield ApiRequest(f"STREAM.UPDATE.{name}", {**config, **{key: found[key] for key in THEIRS if key in found}})


def _plan_consumers(documents: Mapping[str, LocalRules], observed: Observed, installation: str) -> Iterator[ApiRequest]:
    saga = _any(documents)
    [stream] = registers.streams(saga.namespace, saga.saga)
    for participant, needed in sorted(_needed(documents, observed.entries).items()):
        there = observed.consumers.get(participant, {})
        standing = frozenset(there.get("filter_subjects", ()))
        config = _marked(topology.consumer(participant, needed | standing), installation)
        if not needed <= standing or _differs(config, there):
            # Said explicitly: without an action the server would overwrite whatever somebody else has just created.
            action = "update" if there else "create"
            body = {"stream_name": stream, "action": action, "config": config}
            yield ApiRequest(f"CONSUMER.CREATE.{stream}.{participant}", body)


def _needed(documents: Mapping[str, LocalRules], entries: Mapping[str, bytes]) -> dict[str, frozenset[str]]:
    """Participant -> filters, by these documents and by all that stand.

    A consumer alone does not remember them well enough: whoever updates one may overwrite the filters of somebody who
    did so a moment before. But the documents of both are there by the time of the last look.
    """
    needed: dict[str, frozenset[str]] = {}
    stand = filter(None, map(_filters, entries.values()))
    for participant, filters in (*stand, *((name, topology.filters(rules)) for name, rules in documents.items())):
        needed[participant] = needed.get(participant, frozenset()) | filters
    return {participant: filters for participant, filters in needed.items() if filters}


def readable(bodies: Iterable[bytes]) -> Iterator[LocalRules]:
    """The documents among them. Not `active`, and not those of a later version, which looks after its own filters."""
    return filter(None, map(_document, bodies))


@lru_cache(maxsize=2048)
def _document(body: bytes) -> LocalRules | None:
    """Remembered, for each look is at the documents of every revision that ever stood."""
    with suppress(UnreadableError):
        return codec.decode_rules(body)
    return None


@lru_cache(maxsize=2048)
def _filters(body: bytes) -> tuple[str, frozenset[str]] | None:
    """Whose document it is, and what he listens to by it."""
    rules = _document(body)
    return (rules.participant, topology.filters(rules)) if rules else None


def _entries(documents: Mapping[str, LocalRules]) -> dict[str, bytes]:
    """Subject -> body, `active` last. A document's key holds its content's hash: what differs there is damaged."""
    saga = _any(documents)
    entries = {topology.rules_subject(rules): codec.encode_rules(rules) for rules in documents.values()}
    active = topology.active_subject(saga.namespace, saga.start_participant, saga.saga)
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
    return {topology.rules_subject(rules): codec.encode_rules(rules) for rules in idle}


def _withdrawn(documents: Mapping[str, LocalRules], entries: Mapping[str, bytes]) -> dict[str, bytes]:
    """`active` of those who started the saga before: emptied, or two participants would start it."""
    saga = _any(documents)
    ours = topology.active_subject(saga.namespace, saga.start_participant, saga.saga)
    every = topology.active_subject(saga.namespace, "*", saga.saga)
    return {s: b"" for s in entries if s != ours and topology.fits_wildcard(s, every)}


def _any(documents: Mapping[str, LocalRules]) -> LocalRules:
    """One of them, for what they have in common."""
    common = {(rules.namespace, rules.saga, rules.start_participant, rules.revision) for rules in documents.values()}
    if len(common) != 1 or not next(iter(common))[-1]:
        raise ValueError(f"only the documents of one revision of one saga are distributed together, not {common}")
    return next(iter(documents.values()))


def _marked(config: Config, installation: str) -> Config:
    asked = {key: value for key, value in config.items() if key not in THEIRS}
    plain = json.dumps(asked, sort_keys=True, separators=(",", ":"))
    fingerprint = hashlib.sha256(plain.encode()).hexdigest()[:10]
    return {**config, "metadata": {INSTALLATION: installation, FINGERPRINT: fingerprint}}


def owner_of(config: Config) -> str | None:
    """The installation that has made a stream or bucket; None: it was not Sagamesh."""
    return _metadata(config).get(INSTALLATION)


def _metadata(config: Config) -> Mapping[str, str]:
    return config.get("metadata") or {}


def _differs(wanted: Config, found: Config) -> bool:
    """Whether what was asked for, or what was made of it since, is not what is wanted.

    Only our own keys are compared: the server stores more than it was asked for, and `_nats.` metadata beside it.
    """
    there = _metadata(found)
    other = THEIRS | {"metadata", "filter_subjects"}
    drifted = any(found.get(key) != value for key, value in wanted.items() if key not in other)
    return drifted or any(there.get(key) != value for key, value in _metadata(wanted).items())


# -- looking and acting ------------------------------------------------------------------------------------------


async def distribute(
    js: JetStream, documents: Mapping[str, LocalRules], *, installation: str = "default", replicas: int = 1
) -> Distributed:
    """Make these documents stand, and their revision the active one.

    `replicas`: of what is created; where NATS has not so many servers, one.

    Of two that distribute different revisions at once, either may have the last word on `active`, but the filters of
    both stand in the end: JetStream has no compare-and-set for consumers, so each looks once more after its last write,
    at the documents of all. In between a filter may be missing for a moment; what is passed over then is the sweeper's.
    Raises ForeignStreamError, JetStreamError and UnavailableError.
    """
    done: list[Change] = []
    overtaken: JetStreamError | None = None
    observed = Observed({}, {}, {})
    for _ in range(LOOKS):
        observed = await observe(js, documents, observed.entries)
        actions = plan(documents, observed, installation=installation, replicas=replicas)
        # An entry that we wrote and somebody has written since is theirs: no tug of war over `active`.
        actions = tuple(a for a in actions if isinstance(a, ApiRequest) or a not in done)
        if not actions:
            return Distributed(_any(documents).revision, tuple(done), _replicas(documents, observed))
        try:
            overtaken = await _carry_out(js, actions, done)
        except JetStreamError as refused:
            if refused.err_code not in TOO_FEW_SERVERS or replicas == 1:
                raise
            replicas = 1
    raise overtaken or SagameshError(f"{actions[0]} was done {LOOKS} times, and each time somebody undid it")


def _replicas(documents: Mapping[str, LocalRules], observed: Observed) -> int:
    [log] = registers.streams(_any(documents).namespace, _any(documents).saga)
    replicas: int = observed.streams[log]["num_replicas"]
    return replicas


async def _carry_out(js: JetStream, actions: Iterable[Change], done: list[Change]) -> JetStreamError | None:
    """Do them in order, up to the first that somebody else has overtaken."""
    for action in actions:
        try:
            await (js.api(*action) if isinstance(action, ApiRequest) else js.publish(*action))
        except JetStreamError as refused:
            if refused.err_code not in OVERTAKEN:
                raise
            return refused
        done.append(action)
    return None


async def observe(
    js: JetStream, documents: Mapping[str, LocalRules], known: Mapping[str, bytes] = MappingProxyType({})
) -> Observed:
    """Look at everything that `plan` asks for. `known`: entries that were read a moment ago."""
    saga = _any(documents)
    [stream], bucket = registers.streams(saga.namespace, saga.saga), f"KV_{topology.RULES_BUCKET}"
    ours = {"subjects_filter": topology.saga_subjects(saga.namespace, saga.saga)}
    streams = await ask_all(js, {s["name"]: (f"STREAM.INFO.{s['name']}", ours) for s in _streams(documents, 1)})

    found = await read_entries(js, subjects(streams.get(bucket)), known)
    participants = _needed(documents, found)
    consumers = await ask_all(js, {p: (f"CONSUMER.INFO.{stream}.{p}", None) for p in participants})
    return Observed(_configs(streams), _configs(consumers), found)


async def read_entries(
    js: JetStream, wanted: Sequence[str], known: Mapping[str, bytes] = MappingProxyType({})
) -> dict[str, bytes]:
    """What stands in the rules bucket at these subjects. `known`: what was read a moment ago.

    Documents are never rewritten: those that are known are not read again, and of the others many at once from
    whichever server is near. What is not found that way, and `active`, which does change, is asked of the leader.
    """
    bucket = f"KV_{topology.RULES_BUCKET}"
    documents = [subject for subject in wanted if not subject.endswith(".active")]
    found = {subject: known[subject] for subject in documents if subject in known}
    unknown = [subject for subject in documents if subject not in found]
    for at in range(0, len(unknown), PAGE):
        found |= {message.subject: message.body for message in await js.last(bucket, unknown[at : at + PAGE])}
    return found | await stored(js, bucket, [subject for subject in wanted if subject not in found])


def _configs(infos: Mapping[str, JsonObject]) -> dict[str, Config]:
    return {name: info["config"] for name, info in infos.items()}
