"""What an answer says in words, as a sentence for people: the app's own, wherever its framework puts them.

A refusal is told in the app's words alone, for compensations read them, too. Whatever is asked again, or was wired
wrongly, is told with method, path and status. Nothing here judges an answer: that is `answers`, which asks.

However an answer is made, telling it costs no more than reading it: of what it nests only the upper levels are looked
at, and of those only so many places.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import islice

from sagamesh.errors import EventError
from sagamesh.log import payload
from sagamesh.protocol.binding import media_type
from sagamesh.text import LONGEST_REASON, shortened

FIELDS = ("detail", "message", "errors", "title", "reason", "error", "code")
"""Where words stand in an object, the ones before the others: RFC 9457 and most frameworks. Rather `message` than
`error`, which next to it is but the status in words (Spring), and rather `errors` than a `title` that is always the
same (ASP.NET)."""
MOST_ITEMS = 5
"""Of a list of faults; who mends these sees the others."""
MOST_PLAIN = 200
"""Characters of plain text that are somebody's words; a stack trace is longer."""
MOST_LEVELS = 4
"""Of objects and lists in each other: a problem, its list of faults, a fault, and what that holds."""
MOST_PLACES = 200
"""Values that are looked at for words: whoever has a sentence to say has said it by then."""
GLIMPSE = 60
"""Characters of a page without any words: enough to see whose it is."""
PAGES = ("text/html", "text/plain")
"""Media types of what is written for people. Of anything else the beginning may be data."""
DATA = ("{", "[", '"', "'")
"""How data begin, whatever they are said to be."""


def told(path: str, status: int, headers: Mapping[str, str], body: bytes) -> str:
    """The whole of it: which call was answered how, where that points to, and in which words."""
    answered = f"POST {path} answered {status}"
    said = words(headers, body)
    if status == 404:
        return f"{answered}: is the path right?" + (f" It says: {said}" if said else "")
    if "location" in headers:
        answered += f", Location: {shortened(_place(headers['location']), MOST_PLAIN)}"
    return f"{answered}: {said}" if said else f"{answered}{glimpse(headers, body)}"


def words(headers: Mapping[str, str], body: bytes) -> str:
    """What the app says for itself, in one line; empty: nothing that can be told."""
    try:
        said = payload.read(payload.without_bom(body))
    except EventError:
        return _plain(headers, body)
    return _Search().words(said, MOST_LEVELS)


def kind(headers: Mapping[str, str], body: bytes) -> str:
    """What kind of body it is said to be; empty for no body. For behind a sentence."""
    if not body.strip():
        return ""
    media = shortened(_one_line(media_type(headers)), GLIMPSE)
    return f" ({media})" if media else "" if payload.is_json(body) else " (of no media type)"


def glimpse(headers: Mapping[str, str], body: bytes) -> str:
    """What kind of body it is, and of a page or a plain text the beginning. For behind a sentence.

    Whatever else comes without any words is data, which no reason repeats. Not for a success: all that it says is data.
    """
    text = _one_line(payload.without_bom(body)[: 4 * GLIMPSE].decode(errors="replace"))[:GLIMPSE]
    is_page = media_type(headers) in PAGES and not text.startswith(DATA) and not payload.is_json(body)
    return kind(headers, body) + (f": {text}" if is_page and text else "")


class _Search:
    """For words, in one body. It ends after so many places, however they are nested."""

    def __init__(self) -> None:
        self._left = MOST_PLACES

    def words(self, value: object, levels: int) -> str:
        """Those of a value, of which so many levels are looked at."""
        self._left -= 1
        if self._left < 0 or levels < 0:
            return ""
        match value:
            case str():
                return _one_line(value)
            case list():
                every = [word for item in value[:MOST_ITEMS] if (word := self.words(item, levels - 1))]
                more = f" and {len(value) - MOST_ITEMS} more" if every and len(value) > MOST_ITEMS else ""
                return "; ".join(every) + more
            case {"loc": list(loc), "msg": str(message)}:  # of pydantic, by FastAPI
                place = ".".join(str(part) for part in loc[: 2 * MOST_ITEMS] if isinstance(part, str | int))
                return f"{_one_line(place)}: {_one_line(message)}"
            case {"msg": str(message)}:
                return _one_line(message)
            case dict():
                named = (self._of_field(value[field], levels - 1) for field in FIELDS if field in value)
                return next(filter(None, named), "")
        return ""

    def _of_field(self, value: object, levels: int) -> str:
        """The words of a field that is there for them: an object without any that we know is told entry by entry."""
        if word := self.words(value, levels):
            return word
        if not isinstance(value, dict):
            return ""
        entries = islice(value.items(), MOST_ITEMS)
        told = ((key, self.words(item, levels - 1) or _scalar(item)) for key, item in entries)
        return "; ".join(f"{_one_line(key)}: {word}" for key, word in told if word)


def _scalar(value: object) -> str:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


def _place(location: str) -> str:
    """Where a `Location` points to, without what may let somebody in there: a login, a token in the query."""
    place = _one_line(re.split("[?#;]", location, maxsplit=1)[0])
    scheme, slashes, rest = place.partition("//")
    host, slash, path = rest.partition("/")
    return scheme + slashes + host.rpartition("@")[2] + slash + path


def _plain(headers: Mapping[str, str], body: bytes) -> str:
    """Short plain text, as it is; a page, a trace or a form is not somebody's word."""
    media = media_type(headers)
    if media not in ("", "text/plain") or len(body) > 4 * MOST_PLAIN:
        return ""
    try:
        text = _one_line(payload.without_bom(body).decode())
    except UnicodeDecodeError:
        return ""
    is_form = not media and "=" in text and " " not in text
    return text if len(text) <= MOST_PLAIN and not text.startswith(("<", *DATA)) and not is_form else ""


def _one_line(text: str) -> str:
    """Without control characters, which a log or a terminal might obey, and no more than twice what is ever kept."""
    head = text[: 2 * LONGEST_REASON]
    return " ".join("".join(sign if sign.isprintable() else " " for sign in head).split())
