"""What an answer says in words, as a sentence for people: the app's own, wherever its framework puts them.

A refusal is told in the app's words alone, for compensations read them, too. Whatever is asked again, or was wired
wrongly, is told with method, path and status. Nothing here judges an answer: that is `answers`, which asks.
"""

from __future__ import annotations

from collections.abc import Mapping

from sagamesh.errors import EventError
from sagamesh.log import payload
from sagamesh.protocol.binding import media_type
from sagamesh.text import shortened

FIELDS = ("detail", "message", "errors", "title", "reason", "error", "code")
"""Where words stand in an object, the ones before the others: RFC 9457 and most frameworks. Rather `message` than
`error`, which next to it is but the status in words (Spring), and rather `errors` than a `title` that is always the
same (ASP.NET)."""
MOST_ITEMS = 5
"""Of a list of faults; who mends these sees the others."""
MOST_PLAIN = 200
"""Characters of plain text that are somebody's words; a stack trace is longer."""
GLIMPSE = 60
"""Characters of a body without any words: enough to see whose page it is."""


def told(path: str, status: int, headers: Mapping[str, str], body: bytes) -> str:
    """The whole of it: which call was answered how, where that points to, and in which words."""
    answered = f"POST {path} answered {status}"
    said = words(headers, body)
    if status == 404:
        return f"{answered}: is the path right?" + (f" It says: {said}" if said else "")
    if "location" in headers:
        answered += f", Location: {shortened(headers['location'], MOST_PLAIN)}"
    return f"{answered}: {said}" if said else f"{answered}{glimpse(headers, body)}"


def words(headers: Mapping[str, str], body: bytes) -> str:
    """What the app says for itself, in one line; empty: nothing that can be told."""
    try:
        said = payload.read(payload.without_bom(body))
    except EventError:
        return _plain(headers, body)
    return _worded(said)


def glimpse(headers: Mapping[str, str], body: bytes) -> str:
    """What kind of body it is, and of one that is no JSON the beginning; empty for no body. For behind a sentence.

    JSON without any words is data, which no reason repeats.
    """
    text = _one_line(body[: 4 * GLIMPSE].decode(errors="replace"))[:GLIMPSE]
    if not text:
        return ""
    media = shortened(media_type(headers), GLIMPSE)
    if payload.is_json(body):
        return f" ({media})" if media else ""
    return f" ({media or 'of no media type'}): {text}"


def _worded(value: object) -> str:
    match value:
        case str():
            return _one_line(value)
        case list():
            every = [word for item in value[:MOST_ITEMS] if (word := _worded(item))]
            more = f" and {len(value) - MOST_ITEMS} more" if every and len(value) > MOST_ITEMS else ""
            return "; ".join(every) + more
        case {"loc": list(loc), "msg": str(message)}:  # of pydantic, by FastAPI
            return f"{'.'.join(map(str, loc))}: {_one_line(message)}"
        case {"msg": str(message)}:
            return _one_line(message)
        case dict():
            return next((word for field in FIELDS if (word := _of_field(value.get(field)))), "")
    return ""


def _of_field(value: object) -> str:
    """The words of a field that is there for them: an object without any that we know is told entry by entry."""
    if word := _worded(value):
        return word
    if not isinstance(value, dict):
        return ""
    entries = ((key, _worded(item) or _scalar(item)) for key, item in list(value.items())[:MOST_ITEMS])
    return "; ".join(f"{_one_line(key)}: {word}" for key, word in entries if word)


def _scalar(value: object) -> str:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


def _plain(headers: Mapping[str, str], body: bytes) -> str:
    """Short plain text, as it is; a page or a trace is not somebody's word."""
    if media_type(headers) not in ("", "text/plain") or len(body) > 4 * MOST_PLAIN:
        return ""
    try:
        text = _one_line(body.decode())
    except UnicodeDecodeError:
        return ""
    return text if len(text) <= MOST_PLAIN and text[:1] not in ("<", "{", "[") else ""


def _one_line(text: str) -> str:
    """Without control characters, which a log or a terminal might obey."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
