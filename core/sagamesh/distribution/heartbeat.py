"""What a sidecar tells of itself, so that people can see how far a revision has come. A wire format; for display.

Nothing waits for one, but for one thing: a revision is not put in force where a live sidecar cannot read its `format`.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct, json

from sagamesh.errors import UnreadableError
from sagamesh.log.payload import UNDECODABLE
from sagamesh.rules import local


class Heartbeat(Struct, frozen=True, kw_only=True):
    """One sidecar, at one moment.

    `formats`: the formats of rules documents that it reads. `holds`: saga -> revisions that it can carry out.
    `starts`: saga -> the revision that a new instance takes here, where this participant starts it.
    """

    namespace: str
    participant: str
    pod: str
    formats: tuple[int, ...] = (local.FORMAT,)
    holds: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    starts: dict[str, str] = msgspec.field(default_factory=dict)


_READER = json.Decoder(Heartbeat)


def encode(heartbeat: Heartbeat) -> bytes:
    """An entry of the sidecars' bucket."""
    return json.encode(heartbeat)


def decode(body: bytes) -> Heartbeat:
    """Raises UnreadableError for bytes that are no heartbeat."""
    try:
        return _READER.decode(body)
    except UNDECODABLE as error:
        raise UnreadableError(f"this is no heartbeat: {error}") from error
