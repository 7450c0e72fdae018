"""Somebody with rights on NATS, and no reverence; and streams that are none of ours."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from sagamesh.distribution import buckets, topology
from sagamesh.distribution.plan import installation_of
from sagamesh.log import registers
from sagamesh.rules.codec import decode_rules
from sagamesh_jetstream.client.memory import MemoryStreams
from sagamesh_jetstream.client.memory.stream import MemoryStream
from support.distribution.operators import INSTALLATION
from support.distribution.witness import RULES, SIDECARS, Witness

OTHERS = ("ORDERS", "SAGA_shop_zz", "SAGA_shop_aa", "SAGA_prod_a", "SAGA")
"""Streams of others, whose names lie around ours. Of the second the owner is another installation of Sagamesh."""


def prepare(streams: MemoryStreams, *, foreign_log: str) -> None:
    """What is there before anybody comes."""
    for name in filter(None, (*OTHERS, foreign_log)):
        theirs = {"metadata": {"sagamesh.dev/installation": "theirs"}} if name == OTHERS[1] else {}
        streams.api(f"STREAM.CREATE.{name}", {"name": name, "subjects": [f"other.{name}"], **theirs})


def meddle(chance: Random, streams: MemoryStreams, witness: Witness) -> None:
    """One deed, if it can be done."""
    witness.remember_filters()
    chance.choice(DEEDS)(chance, streams, witness)


def delete_log(chance: Random, streams: MemoryStreams, witness: Witness) -> None:
    if (log := _log(chance, streams, witness)) is not None:
        for instance in [one for one in witness.open if one.stream == log.config["name"]]:
            del witness.open[instance]
        streams.api(f"STREAM.DELETE.{log.config['name']}")


def delete_consumer(chance: Random, streams: MemoryStreams, witness: Witness) -> None:
    log = _log(chance, streams, witness)
    if log is not None and log.consumers:
        streams.api(f"CONSUMER.DELETE.{log.config['name']}.{chance.choice(sorted(log.consumers))}")


def take_a_filter(chance: Random, streams: MemoryStreams, witness: Witness) -> None:
    log = _log(chance, streams, witness)
    if log is None or not log.consumers:
        return
    config = log.consumers[chance.choice(sorted(log.consumers))]
    fewer = config["filter_subjects"][1:]
    body = {"stream_name": log.config["name"], "config": config | {"filter_subjects": fewer}}
    streams.api(f"CONSUMER.CREATE.{log.config['name']}.{config['name']}", body)


def change_a_stream(chance: Random, streams: MemoryStreams, witness: Witness) -> None:
    if (log := _log(chance, streams, witness)) is not None:
        streams.api(f"STREAM.UPDATE.{log.config['name']}", log.config | {"max_age": 3600 * topology.SECOND})


def delete_sidecars_bucket(_: Random, streams: MemoryStreams, __: Witness) -> None:
    if streams.stream(SIDECARS) is not None:
        streams.api(f"STREAM.DELETE.{SIDECARS}")


def delete_rules_bucket(_: Random, streams: MemoryStreams, __: Witness) -> None:
    bodies = [m for m in streams.last(RULES, [">"]) if not buckets.is_retired_key(m.subject)]
    if streams.stream(RULES) is not None and all(_may_go(m.subject, m.body) for m in bodies):
        streams.api(f"STREAM.DELETE.{RULES}")


def spoil_an_entry(chance: Random, streams: MemoryStreams, _: Witness) -> None:
    """Empty it, fill it with rubbish, or take it away. Not of a revision without a pivot: see `_may_go`."""
    found = [message for message in streams.last(RULES, [">"]) if _may_go(message.subject, message.body)]
    if found:
        subject = chance.choice(found).subject
        match chance.choice(("purge", "empty", "rubbish")):
            case "purge":
                streams.api(f"STREAM.PURGE.{RULES}", {"filter": subject})
            case "empty":
                streams.publish(subject, {}, b"")
            case _:
                streams.publish(subject, {}, b"rubbish")


def purge(streams: MemoryStreams, saga: str, *, only_active: bool = False) -> None:
    """Take away what the bucket holds of a saga, or what says which revision is active."""
    for message in streams.last(RULES, [buckets.saga_subjects("shop", saga)]):
        if buckets.is_active_key(message.subject) or (not only_active and _may_go(message.subject, message.body)):
            streams.api(f"STREAM.PURGE.{RULES}", {"filter": message.subject})


def leave_rubbish(chance: Random, streams: MemoryStreams, _: Witness) -> None:
    """An entry of a saga that never was."""
    if streams.stream(RULES) is not None:
        active = buckets.active_subject("shop", "orders", "ghost")
        streams.publish(chance.choice((active, active.replace("active", "0123456789"))), {}, b"rubbish")


DEEDS: tuple[Callable[[Random, MemoryStreams, Witness], None], ...] = (
    delete_log,
    delete_consumer,
    take_a_filter,
    change_a_stream,
    delete_sidecars_bucket,
    delete_rules_bucket,
    spoil_an_entry,
    spoil_an_entry,
    leave_rubbish,
)


def _log(chance: Random, streams: MemoryStreams, witness: Witness) -> MemoryStream | None:
    """One of our logs."""
    names = sorted({name for key, _ in witness.revisions for name in registers.streams(*key)})
    logs = [log for log in map(streams.stream, names) if log and installation_of(log.config) == INSTALLATION]
    return chance.choice(logs) if logs else None


def _may_go(subject: str, body: bytes) -> bool:
    """Where nobody knows any more that a revision has no pivot, its saga never counts as ended: on purpose."""
    if buckets.is_active_key(subject) or buckets.is_retired_key(subject):
        return buckets.is_active_key(subject)
    try:
        return decode_rules(body).pivot is not None
    except Exception:
        return True
