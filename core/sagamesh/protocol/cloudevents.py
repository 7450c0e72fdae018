"""CloudEvents over HTTP, as an app sends them to start a saga: from headers and body to `Start` values.

Binary, structured and batch mode of the HTTP binding. Data must be JSON, since expressions look into them; extension
attributes are not kept. What is returned can be encoded, compared and evaluated later without surprises. Which sagas
an event starts is not known here: that is in the rules, asked by the sidecar's API.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from msgspec import Raw

from sagamesh.errors import EventError
from sagamesh.log import payload
from sagamesh.log.registers import NULL, Start
from sagamesh.protocol import commands
from sagamesh.protocol.binding import (
    BATCH,
    BLANK,
    REQUIRED,
    STRUCTURED,
    FormatError,
    check,
    decode,
    expect_json,
    media_type,
    structured,
    unescaped,
)
from sagamesh.text import series

MAX_BATCH = 100
"""The most events of one request, since it is answered when all of them are written."""

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)


def parse(headers: Mapping[str, str], body: bytes) -> tuple[Start, ...]:
    """The events of a request, at least one. Header names are lower case, values as they came (latin-1).

    Raises EventError, with one sentence for the sender; FormatError where the content type is to blame.
    """
    media, body = media_type(headers), payload.without_bom(body)
    if media == STRUCTURED:
        return (_structured(decode(body, dict[str, Raw], "an event, as a JSON object")),)
    if media == BATCH:
        return _batch(decode(body, list[dict[str, Raw]], "a batch of events, as a JSON array of objects"))
    if media.startswith("application/cloudevents"):
        raise FormatError(f"events come as {STRUCTURED} or {BATCH}; {media!r} is neither")
    return (_binary(headers, media, body),)


def _binary(headers: Mapping[str, str], media: str, body: bytes) -> Start:
    attributes = {name[3:]: unescaped(name, value) for name, value in headers.items() if name.startswith("ce-")}
    if not attributes:
        raise EventError(f"this is no CloudEvent: send the headers {series((f'ce-{a}' for a in REQUIRED), 'and')}")
    if not body.strip(BLANK):
        return _event(attributes, NULL, prefix="ce-")
    expect_json(media)
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
    attributes, data = structured(envelope)
    return _event(attributes, data)


def _event(attributes: Mapping[str, str], data: Raw, prefix: str = "") -> Start:
    """`prefix` is how the sender writes an attribute's name."""
    missing = [prefix + name for name in REQUIRED if not attributes.get(name)]
    if missing:
        raise EventError(f"{series(missing, 'and')} {'is' if len(missing) == 1 else 'are'} missing or empty")
    for name in (*REQUIRED, "time"):
        check(prefix + name, attributes.get(name, ""))
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
