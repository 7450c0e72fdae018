"""A saga's way to its participants: gather what stands in NATS, let `plan` judge it, and carry out what that says.

Again and again, until a look finds nothing left to do. So it may be interrupted anywhere, run again, and run twice at
once. What NATS holds is the only state; there is no Kubernetes and no instance in here. What must stand, and in which
order it is made, is decided by `sagamesh.distribution.plan`; what goes is `retire`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from sagamesh.distribution import buckets
from sagamesh.distribution.plan import (
    ApiRequest,
    Change,
    Observed,
    any_document,
    needed_filters,
    plan,
)
from sagamesh.distribution.topology import Config
from sagamesh.errors import SagameshError
from sagamesh.log import registers
from sagamesh.rules.local import LocalRules
from sagamesh_jetstream.client.ports import JetStream, JetStreamError, JsonObject
from sagamesh_jetstream.client.replies import (
    CONSUMER_EXISTS,
    CONSUMER_IS_NONE,
    NAME_IS_TAKEN,
    NO_CLUSTER,
    NO_PEERS,
    STREAM_MISSING,
)
from sagamesh_jetstream.upkeep.lookups import ask_all, stored, subjects_in

LOOKS = 10
"""Two are enough where nobody else is at work. So many in vain are a tug of war, of which somebody must hear."""
PAGE = 250
"""Subjects of one read: what the server answers at once."""
TOO_FEW_SERVERS = frozenset({NO_PEERS, NO_CLUSTER})
"""JetStream's codes: a cluster with fewer servers than replicas; a server that is none."""
OVERTAKEN = frozenset({NAME_IS_TAKEN, CONSUMER_EXISTS, CONSUMER_IS_NONE, STREAM_MISSING})
"""JetStream's codes: somebody else created or deleted it since we looked, so look again."""


class Distributed(NamedTuple):
    """One revision stands everywhere and is the active one. `actions`: what that took; none if it stood already.

    `replicas`: on how many servers each entry of the saga's log is.
    """

    revision: str
    actions: tuple[Change, ...]
    replicas: int


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
    observed = Observed({}, {}, {})
    for _ in range(LOOKS):
        observed = await observe(js, documents, observed.entries)
        actions = plan(documents, observed, installation=installation, replicas=replicas)
        # An entry that we wrote and somebody has written since is theirs: no tug of war over `active`.
        actions = tuple(a for a in actions if isinstance(a, ApiRequest) or a not in done)
        if not actions:
            return Distributed(any_document(documents).revision, tuple(done), _replicas(documents, observed))
        try:
            overtaken = await _carry_out(js, actions, done)
        except JetStreamError as refused:
            if refused.err_code not in TOO_FEW_SERVERS or replicas == 1:
                raise
            replicas = 1
    raise overtaken or SagameshError(f"{actions[0][0]} was done {LOOKS} times, and each time somebody undid it")


def _replicas(documents: Mapping[str, LocalRules], observed: Observed) -> int:
    [log] = registers.streams(any_document(documents).namespace, any_document(documents).saga)
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
    """Gather everything that `plan` judges by. `known`: entries that were read a moment ago."""
    saga = any_document(documents)
    [stream] = registers.streams(saga.namespace, saga.saga)
    ours = buckets.saga_subjects(saga.namespace, saga.saga)
    names = (buckets.RULES_STREAM, buckets.SIDECARS_STREAM, stream)
    streams = await ask_all(js, {name: (f"STREAM.INFO.{name}", {"subjects_filter": ours}) for name in names})

    first = streams.get(buckets.RULES_STREAM)
    entries = await read_entries(js, await subjects_in(js, buckets.RULES_STREAM, ours, first), known)
    participants = needed_filters(documents, entries)
    consumers = await ask_all(js, {p: (f"CONSUMER.INFO.{stream}.{p}", None) for p in participants})
    return Observed(_configs(streams), _configs(consumers), entries)


async def read_entries(
    js: JetStream, wanted: Sequence[str], known: Mapping[str, bytes] = MappingProxyType({})
) -> dict[str, bytes]:
    """What stands in the rules bucket at these subjects. `known`: what was read a moment ago.

    Documents are never rewritten: those that are known are not read again, and of the others many at once from
    whichever server is near. What is not found that way, and `active`, which does change, is asked of the leader.
    """
    documents = [subject for subject in wanted if not buckets.is_active_key(subject)]
    bodies = {subject: known[subject] for subject in documents if subject in known}
    unknown = [subject for subject in documents if subject not in bodies]
    for at in range(0, len(unknown), PAGE):
        page = await js.last(buckets.RULES_STREAM, unknown[at : at + PAGE])
        bodies |= {message.subject: message.body for message in page}
    return bodies | await stored(js, buckets.RULES_STREAM, [subject for subject in wanted if subject not in bodies])


def _configs(infos: Mapping[str, JsonObject]) -> dict[str, Config]:
    return {name: info["config"] for name, info in infos.items()}
