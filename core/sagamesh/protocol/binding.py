"""CloudEvents' HTTP binding: an event's attributes and its data, out of headers and body.

For both ways that an app's events come, `cloudevents` makes starts of what it sends, and `answers` reads by it what it
answers; `calls` writes by it what goes to the app. Which attributes must be there, and what they mean, is theirs. Data
must be JSON, since expressions look into them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar
from urllib.parse import quote, unquote_to_bytes

from msgspec import Raw, json

from sagamesh.errors import EventError
from sagamesh.log import payload
from sagamesh.log.registers import NULL

T = TypeVar("T")

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
REQUIRED = ("specversion", "id", "source", "type")
MAX_ATTRIBUTE = 256
"""The most characters of an attribute: no name is longer, and a type becomes a header of every call."""

JSON_TYPE = re.compile(r"(application|text)/([a-z0-9!#$&^_.-]+\+)?json")
FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
BLANK = b" \t\r\n"
UNESCAPED = "".join(chr(sign) for sign in range(0x21, 0x7F) if chr(sign) not in '"%')
"""What stands in a header as it is: printable ASCII but for the blank, the quote and the percent sign."""


class FormatError(EventError):
    """The content type is none that can be read."""


def media_type(headers: Mapping[str, str]) -> str:
    """What the body is said to be, without its parameters; empty where nothing is said."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def answered(headers: Mapping[str, str], body: bytes) -> tuple[str | None, Raw]:
    """The event that an answer chooses, if it does, and the event's data; null for no body.

    Binary mode, of which an answer needs only `ce-type`, or structured. Raises EventError, in words about the body.
    """
    body = payload.without_bom(body).strip(BLANK)
    media = media_type(headers)
    if media == STRUCTURED:
        attributes, data = structured(decode(body, dict[str, Raw], "an event, as a JSON object"))
        event = attributes.get("type", "")
    elif media.startswith("application/cloudevents"):
        raise FormatError(f"{media}; one event is answered as {STRUCTURED}")
    else:
        event, data = unescaped("ce-type", headers.get("ce-type", "")), Raw(body or NULL)
    check("ce-type", event)
    payload.read(data)
    return event or None, data


def structured(envelope: Mapping[str, Raw]) -> tuple[dict[str, str], Raw]:
    """The attributes and the data of an event that is one JSON object."""
    if "data_base64" in envelope:
        raise EventError("data_base64 is not supported: an event's data must be JSON, in the field data")
    present = {name: value for name, value in envelope.items() if bytes(value) != b"null"}
    data = present.pop("data", NULL)
    wanted = {*REQUIRED, "time", "datacontenttype"}
    attributes = {name: _text(name, value) for name, value in present.items() if name in wanted}
    if data is not NULL:
        expect_json(media_type({"content-type": attributes.get("datacontenttype", "")}))
    return attributes, data


def decode(body: bytes, kind: type[T], what: str) -> T:
    """The body as what it should be. Raises EventError."""
    try:
        return json.decode(body, type=kind)
    except RecursionError:
        raise EventError(f"the body is nested too deep; expected {what}") from None
    except payload.UNDECODABLE as error:
        raise EventError(f"the body cannot be read; expected {what}: {payload.why(body, error)}") from error


def unescaped(name: str, value: str) -> str:
    """The attribute in a header's value: perhaps quoted, then percent-encoded UTF-8, as the HTTP binding says."""
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = re.sub(r"\\(.)", r"\1", value[1:-1])
    try:
        return unquote_to_bytes(value.encode("latin-1")).decode()
    except UnicodeError:
        raise EventError(f"the header {name} is not percent-encoded UTF-8") from None


def escaped(value: str) -> str:
    """An attribute as a header's value: what is not `UNESCAPED` percent-encoded, and no more than that."""
    return quote(value, safe=UNESCAPED)


def check(name: str, value: str) -> None:
    """Raises EventError for an attribute that would not fit where it has to go."""
    if len(value) > MAX_ATTRIBUTE:
        raise EventError(f"{name} has {len(value)} characters; an attribute may have {MAX_ATTRIBUTE}")
    if FORBIDDEN.search(value):
        raise EventError(f"{name} holds a control character, or one that is no character at all")


def expect_json(media: str) -> None:
    """Raises FormatError for data that are said to be something else."""
    if media and not JSON_TYPE.fullmatch(media):
        raise FormatError(f"an event's data must be JSON; its content type is {media[:MAX_ATTRIBUTE]!r}")


def _text(name: str, value: Raw) -> str:
    try:
        return json.decode(value, type=str)
    except payload.UNDECODABLE:
        raise EventError(f"{name} must be a string") from None
