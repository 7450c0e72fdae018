"""What an app or a person asks for, rather than a delivery: starting an instance, and cancelling one.

Generators like `attempt`, executed by the same relay. Instance ids and the sameness of payloads are decided here.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime

import msgspec
from msgspec import Raw

from sagamesh.errors import EvaluationError, EventError
from sagamesh.log.registers import START, Cause, Register, Start, is_instance_id
from sagamesh.protocol.attempt import Pause, Put, Steps, TooLarge, WriteRefused, read_until_present, take, write
from sagamesh.protocol.decision import abort
from sagamesh.protocol.effects import Known, Write
from sagamesh.rules.compiled import Rules

_canonical = msgspec.json.Decoder(float_hook=lambda text: int(float(text)) if float(text).is_integer() else float(text))
"""Reads whole numbers alike, however they are written: libraries differ in that."""

TRIES = 6
"""How often a start is written before it is called unknown, if nobody has given up on it before: a second of pauses,
and the log's own patience each time. Its sender waits meanwhile, and sends it again anyway."""


def instance_id(rules: Rules, start: Start) -> str:
    """The id of the instance that an event starts: its key, or a digest of a key that does not fit in a subject.

    Raises EventError where the key cannot be evaluated, is empty, or looks like such a digest.
    """
    key = start.id
    if rules.key is not None:
        data = msgspec.json.decode(start.data)
        time = datetime.fromisoformat(start.time) if start.time else datetime.fromtimestamp(0, UTC)
        event = {"event.id": start.id, "event.type": start.event, "event.data": data, "event.time": time}
        try:
            key = str(rules.key({name: event[name] for name in rules.key.names}))
        except EvaluationError as error:
            raise EventError(f"the key of saga {rules.local.saga!r} cannot be made from this event: {error}") from error
    if not key:
        raise EventError(f"the key of saga {rules.local.saga!r} is empty for this event; it must name the instance")
    if key.startswith("h-"):
        raise EventError("instance ids that begin with 'h-' are made by Sagamesh; choose another key")
    return id_of(key)


def id_of(key: str) -> str:
    """The id of the instance with this key; an id is its own key."""
    if is_instance_id(key):
        return key
    return "h-" + base64.b32encode(hashlib.sha256(key.encode()).digest()).decode().lower()[:26]  # 130 bits of it


def digest(event: str, data: Raw) -> str:
    """Which payload an event carries: SHA-256 of the canonical JSON of its type and data."""
    canonical = msgspec.json.encode([event, _canonical.decode(data)], order="sorted")
    return hashlib.sha256(canonical).hexdigest()


def start(known: Known, value: Start) -> Steps[Register | TooLarge | None]:
    """Write `_.start`. Returns what stands there, or that the log will not take it; None: unknown, to be sent again."""
    for turn in range(TRIES):
        stored: Register | WriteRefused | TooLarge = take(known, (yield Put(START, value)))
        if isinstance(stored, Register | TooLarge):
            return stored
        if stored is WriteRefused.EXISTS:
            yield from read_until_present(known, START)
            return known.registers[START]
        take(known, (yield Pause(turn)))
    return None


def cancel(rules: Rules, known: Known, reason: str) -> Steps[None]:
    """Abort an instance, if that is still possible. `known` tells afterwards what stands."""
    while True:
        for effect in abort(rules, known, Cause("cancelled", reason)):
            if not isinstance(effect, Write):
                return
            yield from write(known, effect)
