"""What JetStream says, as values. No I/O; nobody else reads a code, a status or an ack subject.

- put: `{"seq": 7}`, or `{"error": {"err_code": 10071, ...}}`
- direct get: the stored message, with `Nats-Subject`, `-Sequence` and `-Time-Stamp` added; or a status line
- consumer: the stored message, with where and when it was stored in the subject for the ack; or a status line
- API: `{"type": ..., ...}`, or `{"error": {...}}`
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

import msgspec
from msgspec import Struct, json

from sagamesh.errors import UnavailableError
from sagamesh.log import line_fields
from sagamesh.log.codec import Message
from sagamesh.protocol.attempt import WriteRefused
from sagamesh_jetstream.client.ports import JetStreamError, JsonObject

logger = logging.getLogger(__name__)

ACK, IN_PROGRESS = b"+ACK", b"+WPI"

# `err_code` of nats-server's own list of errors (server/errors.json), where each number means one thing for ever. Every
# code that somebody here acts on:

STREAM_MISSING = 10059  # whatever was asked of it
CONSUMER_MISSING = 10014  # of a stream that is there
MESSAGE_MISSING = 10037  # on that subject, or with that sequence

NO_PEERS = 10005  # for so many replicas
NO_CLUSTER = 10074  # and more than one replica was asked for

NAME_IS_TAKEN = 10058  # by a stream with another configuration
CONSUMER_EXISTS = 10148
CONSUMER_IS_NONE = 10149  # though it was to be updated

WRONG_LAST_SEQUENCE = 10071  # a guard does not hold
STREAM_IS_FULL = 10077  # of whatever: bytes, messages, or messages of that subject
FULL_OF_THE_SUBJECT = "maximum messages per subject exceeded"
IN_FLIGHT = 10164  # another write to that subject, whose end is open
TOO_LARGE = 10054  # a message; said by us where the client finds it out before

# Statuses, of a line in the place of a message:

HEARTBEAT = "100"  # nothing came, and the server is there
READ_ENDED = "204"
NOTHING = "404"  # there to be read, or to be pulled until the pull ran out
RAN_OUT = "408"  # of time, a pull
TOO_MANY = "413"  # for one answer
NO_RESPONDERS = "503"


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
_object = json.Decoder(JsonObject)


def put_result(subject: str, headers: Mapping[str, str], reply: bytes) -> int | WriteRefused:
    """The sequence of what was stored, or why nothing was. Whatever we do not know by name is UNKNOWN.

    `headers`: those of the register. A reply that is none is not quoted: it may be an echo of what was sent.
    """
    try:
        stored = _stored.decode(reply)
    except msgspec.DecodeError:
        about = line_fields.fields_of(subject, headers)
        logger.warning("%s: a reply that is none, of %d bytes", subject, len(reply), extra=about)
        return WriteRefused.UNKNOWN
    if stored.error is None:
        return stored.seq or WriteRefused.UNKNOWN
    return _refusal(subject, headers, stored.error)


def _refusal(subject: str, headers: Mapping[str, str], error: ErrorReply) -> WriteRefused:
    """The one table of error codes. By `err_code`: `code` is 503 for a register that exists, and for no leader, too."""
    match error.err_code:
        case code if code == WRONG_LAST_SEQUENCE:
            return WriteRefused.GUARD
        case code if code == STREAM_IS_FULL and error.description == FULL_OF_THE_SUBJECT:
            return WriteRefused.EXISTS
        case code if code == IN_FLIGHT:
            return WriteRefused.UNKNOWN
    about = line_fields.fields_of(subject, headers)
    logger.warning("%s was not stored: %s (%d)", subject, error.description, error.err_code, extra=about)
    return WriteRefused.UNKNOWN


def api_reply(asked: str, reply: bytes) -> JsonObject:
    """What JetStream's API answered. Raises JetStreamError; UnavailableError for what is no answer of its."""
    try:
        answer: JsonObject = _object.decode(reply)
    except msgspec.DecodeError:
        raise UnavailableError(f"what answered {asked} is not JetStream: {reply[:100]!r}") from None
    if error := answer.get("error"):
        raise JetStreamError(
            asked, error["code"], error.get("err_code", 0), error.get("description", "no reason given")
        )
    return answer


def consumer_info(reply: bytes) -> ConsumerInfo:
    try:
        return _info.decode(reply)
    except msgspec.DecodeError as error:
        return ConsumerInfo(error=ErrorReply(description=f"unreadable reply: {error}"))


def status(headers: Mapping[str, str] | None) -> str | None:
    """The status of a status line; None for a stored message, which may have a header of that name itself."""
    return None if headers is None or "Nats-Sequence" in headers else headers.get("Status")


def check_read(stream: str, status: str | None, headers: Mapping[str, str]) -> None:
    """Whether a read has ended well that ends with this status line. Raises UnavailableError."""
    if status not in (READ_ENDED, NOTHING):
        raise UnavailableError(f"{stream} cannot be read: {status} {headers.get('Description', '')}")


def direct_message(headers: Mapping[str, str], body: bytes) -> Message:
    """A stored message, as direct get replies it."""
    time = datetime.fromisoformat(headers["Nats-Time-Stamp"]).timestamp()
    return Message(headers["Nats-Subject"], _own(headers), body, int(headers["Nats-Sequence"]), time)


def delivered_message(subject: str, reply: str, headers: Mapping[str, str] | None, body: bytes) -> tuple[Message, int]:
    """A stored message, as a consumer brings it, and how often it was handed out so far."""
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
