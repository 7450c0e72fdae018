"""What JetStream says, as values. No I/O; nobody else reads a code, a status or an ack subject.

- put: `{"seq": 7}`, or `{"error": {"err_code": 10071, ...}}`
- direct get: the stored message, with `Nats-Subject`, `-Sequence` and `-Time-Stamp` added; or a status line
- pull: the stored message, with where and when it was stored in the subject for the ack; or a status line
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

import msgspec
from msgspec import Struct, json

from sagamesh.log.codec import Message
from sagamesh.protocol.attempt import WriteRefused

logger = logging.getLogger(__name__)

ACK, IN_PROGRESS = b"+ACK", b"+WPI"

# `err_code` of nats-server's own list of errors (server/errors.json), where each number means one thing for ever.
WRONG_LAST_SEQUENCE = 10071
STREAM_IS_FULL = 10077  # of whatever: bytes, messages, or messages of that subject
FULL_OF_THE_SUBJECT = "maximum messages per subject exceeded"
IN_FLIGHT = 10164


class ErrorReply(Struct):
    code: int = 0
    err_code: int = 0
    description: str = ""


class Stored(Struct):
    """The reply to a put."""

    seq: int = 0
    error: ErrorReply | None = None


class ConsumerInfo(Struct):
    """The reply to an inquiry after a consumer: of all that it says, what we need."""

    ts: datetime | None = None  # the server's time
    error: ErrorReply | None = None


class Taken(NamedTuple):
    """What the subject for the ack tells of a delivery."""

    delivered: int
    sequence: int
    time: float


_stored = json.Decoder(Stored)
_info = json.Decoder(ConsumerInfo)


def put_result(subject: str, reply: bytes) -> int | WriteRefused:
    """The sequence of what was stored, or why nothing was. Whatever we do not know by name is UNKNOWN."""
    try:
        stored = _stored.decode(reply)
    except msgspec.DecodeError:
        logger.warning("%s: a reply that is none: %.200r", subject, reply)
        return WriteRefused.UNKNOWN
    if stored.error is None:
        return stored.seq or WriteRefused.UNKNOWN
    return _refusal(subject, stored.error)


def _refusal(subject: str, error: ErrorReply) -> WriteRefused:
    """The one table of error codes. By `err_code`: `code` is 503 for a register that exists, and for no leader, too."""
    match error.err_code:
        case code if code == WRONG_LAST_SEQUENCE:
            return WriteRefused.GUARD
        case code if code == STREAM_IS_FULL and error.description == FULL_OF_THE_SUBJECT:
            return WriteRefused.EXISTS
        case code if code == IN_FLIGHT:
            return WriteRefused.UNKNOWN
    logger.warning("%s was not stored: %s (%d)", subject, error.description, error.err_code)
    return WriteRefused.UNKNOWN


def consumer_info(reply: bytes) -> ConsumerInfo:
    try:
        return _info.decode(reply)
    except msgspec.DecodeError as error:
        return ConsumerInfo(error=ErrorReply(description=f"unreadable reply: {error}"))


def status(headers: Mapping[str, str] | None) -> str | None:
    """The status of a status line; None for a stored message, which may have a header of that name itself."""
    return None if headers is None or "Nats-Sequence" in headers else headers.get("Status")


def direct_message(headers: Mapping[str, str], body: bytes) -> Message:
    """A stored message, as direct get replies it."""
    time = datetime.fromisoformat(headers["Nats-Time-Stamp"]).timestamp()
    return Message(headers["Nats-Subject"], _own(headers), body, int(headers["Nats-Sequence"]), time)


def delivered_message(subject: str, reply: str, headers: Mapping[str, str] | None, body: bytes) -> tuple[Message, int]:
    """A stored message, as a pull brings it, and how often it was handed out so far."""
    taken = parse_ack_subject(reply)
    return Message(subject, _own(headers or {}), body, taken.sequence, taken.time), taken.delivered


def parse_ack_subject(reply: str) -> Taken:
    """`$JS.ACK.<stream>.<consumer>.<delivered>.<sequence>.<consumer's>.<ns>.<pending>`.

    The second version has domain and account before the stream. Both times that we know of one message, this one and
    that of a direct get, are cut to microseconds, so that they are equal.
    """
    tokens = reply.split(".")
    at = 4 if len(tokens) == 9 else 6
    return Taken(int(tokens[at]), int(tokens[at + 1]), int(tokens[at + 3]) // 1000 / 1_000_000)


def _own(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers without those that belong to the server: what it adds, and the guards of our writes."""
    return {str(name): value for name, value in headers.items() if not name.startswith("Nats-")}


def nak(delay: float) -> bytes:
    return b'-NAK {"delay": %d}' % (delay * 1e9) if delay > 0 else b"-NAK"
