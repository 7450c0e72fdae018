"""A deleted saga's way out of NATS: nobody starts it any more, what runs ends, then log and rules go.

As with `distribute`, what NATS holds is the only state: `retire` looks, goes one step further if it can, and is asked
again. Nothing that was accepted is lost: before the log is deleted nobody can write to it any more, and only then is it
counted for the last time what still runs in it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from sagamesh.distribution import buckets, topology
from sagamesh.distribution.buckets import RULES_STREAM
from sagamesh.distribution.plan import installation_of, readable
from sagamesh.errors import UnreadableError
from sagamesh.log import codec, registers
from sagamesh.log.registers import FINISH, START, Instance, Name, Register, SagaKey
from sagamesh.protocol.endings import ending, ending_names, outcome_names
from sagamesh.rules.local import LocalRules
from sagamesh_jetstream.client.ports import JetStream, JsonObject
from sagamesh_jetstream.upkeep.distribute import PAGE, read_entries
from sagamesh_jetstream.upkeep.lookups import ask, subjects_in


class Retiring(NamedTuple):
    """It is not gone yet. `running`: instances that have not ended."""

    running: int


async def retire(js: JetStream, key: SagaKey, *, starting: Collection[str], installation: str) -> Retiring | None:
    """One step further; None: nothing of it is left.

    `starting`: participants of which a live sidecar still says that it starts the saga: while there is one the log
    stays. What belongs to another installation is none of ours, and left alone. Raises JetStreamError and
    UnavailableError.
    """
    [stream] = registers.streams(*key)
    log = await ask(js, f"STREAM.INFO.{stream}")
    ours = buckets.saga_subjects(*key)
    bucket = await ask(js, f"STREAM.INFO.{RULES_STREAM}", {"subjects_filter": ours})
    if _is_foreign(log, installation) or _is_foreign(bucket, installation):
        return None
    entries = await read_entries(js, await _entries(js, ours, bucket))
    for subject in _active(key, entries, starting if bucket else ()):
        await js.publish(subject, b"")
    if log is not None and not await _end(js, key, log["config"], _revisions(entries), wait=bool(starting)):
        return Retiring(await running(js, key, _revisions(entries)))
    await _clear(js, entries)
    return None


async def left_over(js: JetStream, installation: str) -> set[SagaKey]:
    """Every saga of this installation of which NATS holds something."""
    every = buckets.bucket_keys(buckets.RULES_BUCKET)
    bucket = await ask(js, f"STREAM.INFO.{RULES_STREAM}", {"subjects_filter": every})
    if _is_foreign(bucket, installation):
        return set()
    sagas = set(_sagas(await _entries(js, every, bucket)))
    async for stream in _streams(js):
        saga = registers.saga_of_stream(stream["config"]["name"])
        if saga and not _is_foreign(stream, installation):
            sagas.add(saga)
    return sagas


async def running(js: JetStream, key: SagaKey, revisions: Mapping[str, LocalRules]) -> int:
    """How many instances have not ended. `revisions`: rules of any participant, by their revision.

    Whether one has ended its registers say together: a last register that is there alone may be anybody's.
    """
    started = sorted(await _ids(js, key, START))
    names = {FINISH, *(n for rules in revisions.values() for n in (*outcome_names(rules), *ending_names(rules)))}
    [stream] = registers.streams(*key)
    ended = 0
    for page in _pages(started, max(1, PAGE // max(1, len(names)))):
        subjects = [Instance(*key, name).subject(register) for name in page for register in sorted(names)]
        ended += _ended(await js.last(stream, subjects), revisions)
    return len(started) - ended


async def _end(
    js: JetStream, key: SagaKey, config: JsonObject, revisions: Mapping[str, LocalRules], *, wait: bool
) -> bool:
    """Delete the log if nothing runs in it; whether that was done."""
    if wait or await running(js, key, revisions):
        return False
    name = config["name"]
    # From here on a start is answered by nobody: its sender hears that it is unknown, and sends it again.
    await ask(js, f"STREAM.UPDATE.{name}", topology.retired_log(config, *key))
    if await running(js, key, revisions):
        await ask(js, f"STREAM.UPDATE.{name}", {**config, "subjects": [*registers.subjects(*key)]})
        return False
    await ask(js, f"STREAM.DELETE.{name}")  # which another operator may have done
    return True


async def _clear(js: JetStream, entries: Iterable[str]) -> None:
    """Tell each participant that the saga has ended, then remove what the bucket holds of it."""
    keys = map(buckets.bucket_key_of, entries)
    for retired in sorted({buckets.retired_subject(key.namespace, key.participant, key.saga) for key in keys}):
        await js.publish(retired, b"")
    for subject in entries:
        await js.api(f"STREAM.PURGE.{RULES_STREAM}", {"filter": subject})


def _active(key: SagaKey, entries: Mapping[str, bytes], starting: Collection[str]) -> list[str]:
    """Where a participant still finds that it starts the saga; or nothing, though it once did and does it still."""
    found = {subject for subject, body in entries.items() if body and buckets.is_active_key(subject)}
    told = {buckets.active_subject(key.namespace, participant, key.saga) for participant in starting}
    return sorted(found | (told - entries.keys()))


def _revisions(entries: Mapping[str, bytes]) -> dict[str, LocalRules]:
    return {rules.revision: rules for rules in readable(entries.values())}


def _ended(messages: Iterable[codec.Message], revisions: Mapping[str, LocalRules]) -> int:
    """Of how many instances these registers say that they have ended. What cannot be read may be anything."""
    instances: dict[Instance, dict[Name, Register]] = {}
    for message in messages:
        with suppress(UnreadableError):
            instance, name = registers.parse(message.subject)
            instances.setdefault(instance, {})[name] = codec.decode(message)
    return sum(_has_ended(known, revisions) for known in instances.values())


def _has_ended(known: Mapping[Name, Register], revisions: Mapping[str, LocalRules]) -> bool:
    """Whether the last register is there. Where nobody knows the rules of its revision, that is the finish alone."""
    rules = [revisions.get(revision) for revision in {register.origin.revision for register in known.values()}]
    return all(FINISH in known if one is None else ending(one, known) is not None for one in rules)


async def _ids(js: JetStream, key: SagaKey, name: Name) -> set[str]:
    """The instances that have a register."""
    wanted = registers.filter_subject(key.namespace, key.saga, name)
    [stream] = registers.streams(*key)
    first = await ask(js, f"STREAM.INFO.{stream}", {"subjects_filter": wanted})
    return {registers.parse(subject)[0].id for subject in await subjects_in(js, stream, wanted, first)}


async def _streams(js: JetStream) -> AsyncIterator[JsonObject]:
    offset = 0
    while True:
        page = await js.api("STREAM.LIST", {"offset": offset})
        for stream in page["streams"]:
            yield stream
        offset += page["limit"]
        if offset >= page["total"]:
            return


async def _entries(js: JetStream, wanted: str, bucket: JsonObject | None) -> list[str]:
    """What the bucket holds of these sagas, but for the word that one was deleted. `bucket`: the first reply."""
    listed = await subjects_in(js, RULES_STREAM, wanted, bucket)
    return [subject for subject in listed if not buckets.is_retired_key(subject)]


def _sagas(subjects: Iterable[str]) -> Iterator[SagaKey]:
    """Whose entries these are. What somebody has put there by hand is no one's, and in nobody's way."""
    for subject in subjects:
        with suppress(UnreadableError):
            yield buckets.saga_of_key(subject)


def _is_foreign(info: JsonObject | None, installation: str) -> bool:
    return info is not None and installation_of(info["config"]) != installation


def _pages(names: Sequence[str], size: int) -> Iterable[Sequence[str]]:
    return (names[at : at + size] for at in range(0, len(names), size))
