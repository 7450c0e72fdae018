"""CloudEvents over HTTP, as an app sends them to start a saga: from headers and body to `Start` values.

Binary, structured and batch mode of the HTTP binding. Data must be JSON, since expressions look into them; extension
attributes are not kept. What is returned can be encoded, compared and evaluated later without surprises. Which sagas
an event starts is not known here: that is in the rules, asked by the sidecar's API.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TypeVar
from urllib.parse import unquote_to_bytes

from msgspec import Raw, json

from sagamesh.errors import EventError
from sagamesh.log import payload
from sagamesh.log.registers import NULL, Start
from sagamesh.protocol import commands
from sagamesh.text import series

T = TypeVar("T")

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
MAX_BATCH = 100
"""The most events of one request, since it is answered when all of them are written."""
MAX_ATTRIBUTE = 256
"""The most characters of an attribute: no name is longer, and a type becomes a header of every call."""

REQUIRED = ("specversion", "id", "source", "type")
JSON_TYPE = re.compile(r"(application|text)/([a-z0-9!#$&^_.-]+\+)?json")
FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)
BLANK = b" \t\r\n"


class FormatError(EventError):
    """The content type is none that can be read."""


def parse(headers: Mapping[str, str], body: bytes) -> tuple[Start, ...]:
    """The events of a request, at least one. Header names are lower case, values as they came (latin-1).

    Raises EventError, with one sentence for the sender; FormatError where the content type is to blame.
    """
    media = _media_type(headers.get("content-type", ""))
    if media == STRUCTURED:
        return (_structured(_decode(body, dict[str, Raw], "an event, as a JSON object")),)
    if media == BATCH:
        return _batch(_decode(body, list[dict[str, Raw]], "a batch of events, as a JSON array of objects"))
    if media.startswith("application/cloudevents"):
        raise FormatError(f"events come as {STRUCTURED} or {BATCH}; {media!r} is neither")
    return (_binary(headers, media, body),)


def _binary(headers: Mapping[str, str], media: str, body: bytes) -> Start:
    attributes = {name[3:]: _unescape(name, value) for name, value in headers.items() if name.startswith("ce-")}
    if not attributes:
        raise EventError(f"this is no CloudEvent: send the headers {series((f'ce-{a}' for a in REQUIRED), 'and')}")
    if not body.strip(BLANK):
        return _event(attributes, NULL, prefix="ce-")
    _expect_json(media)
    return _event(attributes, Raw(body.strip(BLANK)), prefix="ce-")


def _batch(envelopes: list[dict[str, Raw]]) -> tuple[Start, ...]:
    if not 1 <= len(envelopes) <= MAX_BATCH:
        raise EventError(f"a batch holds from 1 to {MAX_BATCH} events; this one holds {len(envelopes)}")
    events = []
    for number, envelope in enumerate(envelopes, 1):
        try:
            events.append(_structured(envelope))
        except FormatError as error:
            raise FormatError(f"event {number} of the batch: {error}") from error
        except EventError as error:
            raise EventError(f"event {number} of the batch: {error}") from error
    return tuple(events)


def _structured(envelope: Mapping[str, Raw]) -> Start:
    if "data_base64" in envelope:
        raise EventError("data_base64 is not supported: an event's data must be JSON, in the field data")
    present = {name: value for name, value in envelope.items() if bytes(value) != b"null"}
    data = present.pop("data", NULL)
    wanted = {*REQUIRED, "time", "datacontenttype"}
    attributes = {name: _text(name, value) for name, value in present.items() if name in wanted}
    if data is not NULL:
        _expect_json(_media_type(attributes.get("datacontenttype", "")))
    return _event(attributes, data)


def _event(attributes: Mapping[str, str], data: Raw, prefix: str = "") -> Start:
    """`prefix` is how the sender writes an attribute's name."""
    missing = [prefix + name for name in REQUIRED if not attributes.get(name)]
    if missing:
        raise EventError(f"{series(missing, 'and')} {'is' if len(missing) == 1 else 'are'} missing or empty")
    for name in (*REQUIRED, "time"):
        _check(prefix + name, attributes.get(name, ""))
    if attributes["specversion"] != "1.0":
        raise EventError(f"{prefix}specversion is {attributes['specversion']!r}; only '1.0' is supported")
    return Start(
        event=attributes["type"],
        id=attributes["id"],
        source=attributes["source"],
        digest=_digest(attributes["type"], data),
        data=data,
        time=_time(prefix, attributes.get("time", "")),
    )


def _digest(event: str, data: Raw) -> str:
    """The payload's digest. On the way it is proven that the data can be decoded, and encoded again."""
    try:
        payload.read(data)
    except EventError as error:
        raise EventError(f"the event's data are {error}") from error
    return commands.digest(event, data)


def _decode(body: bytes, kind: type[T], what: str) -> T:
    try:
        return json.decode(body, type=kind)
    except RecursionError:
        raise EventError(f"the body is nested too deep; expected {what}") from None
    except payload.UNDECODABLE as error:
        raise EventError(f"the body cannot be read; expected {what}: {error}") from error


def _text(name: str, value: Raw) -> str:
    try:
        return json.decode(value, type=str)
    except payload.UNDECODABLE:
        raise EventError(f"{name} must be a string") from None


def _unescape(name: str, value: str) -> str:
    """The attribute in a header's value: perhaps quoted, then percent-encoded UTF-8, as the HTTP binding says."""
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = re.sub(r"\\(.)", r"\1", value[1:-1])
    try:
        return unquote_to_bytes(value.encode("latin-1")).decode()
    except UnicodeError:
        raise EventError(f"the header {name} is not percent-encoded UTF-8") from None


def _check(name: str, value: str) -> None:
    if len(value) > MAX_ATTRIBUTE:
        raise EventError(f"{name} has {len(value)} characters; an attribute may have {MAX_ATTRIBUTE}")
    if FORBIDDEN.search(value):
        raise EventError(f"{name} holds a control character, or one that is no character at all")


def _time(prefix: str, value: str) -> str:
    """An RFC 3339 time in the spelling that every reader knows, or nothing."""
    if not value:
        return ""
    time = value.upper()
    try:
        if TIME.fullmatch(time):
            datetime.fromisoformat(time).astimezone(UTC)
            return time
    except (ValueError, OverflowError):
        pass
    raise EventError(f"{prefix}time is {value!r}; it must be like 2026-01-31T12:00:00Z (RFC 3339)")


def _expect_json(media: str) -> None:
    if media and not JSON_TYPE.fullmatch(media):
        raise FormatError(f"an event's data must be JSON; its content type is {media[:MAX_ATTRIBUTE]!r}")


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()
