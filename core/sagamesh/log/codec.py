"""Registers to bytes and back, as CloudEvents in NATS binary mode. Documents of rules have a `codec` of their own.

Pinned by golden tests: what was written once must be read for ever. Unknown fields are ignored, unknown values are
unreadable. The app's data stay the bytes that they were.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from msgspec import json

from sagamesh.errors import UnreadableError
from sagamesh.log import registers
from sagamesh.log.payload import UNDECODABLE
from sagamesh.log.registers import Name, Origin, Register, Value

ORIGIN = "saga-origin"
TRACE = "traceparent"
LATEST = 253402300800.0
"""Seconds since the epoch until the year 10000, in which no clock has a place for a time."""
_TRACE = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

_READERS: Mapping[str, json.Decoder[Value]] = {
    "start": json.Decoder(registers.Start),
    "begin": json.Decoder(registers.Started | registers.Skipped | registers.Cancelled),
    "end": json.Decoder(registers.Done | registers.Satisfied | registers.Dead | registers.Failed),
    "outcome": json.Decoder(registers.Committed | registers.Aborted),
    "abort": json.Decoder(registers.Notice),
    "compensation": json.Decoder(registers.Undone | registers.Nothing),
    "finish": json.Decoder(registers.Completed | registers.Compensated),
    "absent": json.Decoder(registers.Absent),
}


class Message(NamedTuple):
    """A stored message as a client of the log sees it. `time` is the server's, in seconds since the epoch."""

    subject: str
    headers: Mapping[str, str]
    body: bytes
    sequence: int
    time: float


def encode(name: Name, value: Value, origin: Origin, participant: str, trace: str = "") -> tuple[dict[str, str], bytes]:
    """The headers and the body of a register. `trace` is the `traceparent` that it was written under."""
    headers = {
        "ce-specversion": "1.0",
        "ce-id": f"{origin.run}/{name.step}/{name.register}",
        "ce-source": participant,
        "ce-type": f"dev.sagamesh.{name.register.partition('.')[0]}.{value.__struct_config__.tag}",
        ORIGIN: ";".join(map(str, origin)),
    }
    if trace:
        headers[TRACE] = trace
    return headers, json.encode(value)


def trace_of(headers: Mapping[str, str]) -> str:
    """The `traceparent` that goes along with an instance; empty for none, and for what is none."""
    trace = headers.get(TRACE, "")
    return trace if _TRACE.fullmatch(trace) else ""


def decode(message: Message) -> Register:
    """The register that a message holds. Raises UnreadableError for any other bytes, and for a future's values."""
    _, name = registers.parse(message.subject)
    reader = _READERS.get("absent" if name.register.startswith("absent.") else name.register)
    if reader is None:
        raise UnreadableError(f"{message.subject}: this version knows no register {name.register!r}")
    try:
        value = reader.decode(message.body)
        origin = _origin(message, name)
    except UNDECODABLE as error:
        raise UnreadableError(f"{message.subject}: {error}") from error
    participant, trace = message.headers.get("ce-source", ""), trace_of(message.headers)
    return Register(name, value, message.sequence, message.time, origin, participant, trace)


def _origin(message: Message, name: Name) -> Origin:
    text = message.headers.get(ORIGIN, "")
    if not (text.isascii() and text.isprintable()):  # parts of it become headers of calls
        raise ValueError("its origin has characters that no origin has")
    run, sequence, time, revision, pod, attempt = text.split(";")
    if name == registers.START:  # where and when it stands, it could not say itself
        return Origin(run, message.sequence, message.time, revision, pod, attempt)
    if not 0 <= (started := float(time)) < LATEST:
        raise ValueError(f"the start's time is {time[:40]}")
    return Origin(run, int(sequence), started, revision, pod, attempt)
