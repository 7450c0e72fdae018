"""The app's data: JSON that anybody on the way can decode and encode again. They travel as the bytes that they are."""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec import Raw, json

from sagamesh.errors import EventError

UNDECODABLE = (ValueError, RecursionError)
"""What decoding raises for bytes that are not what they should be: no JSON, no UTF-8, another shape, or too deep.

msgspec's errors are ValueErrors, as those of Unicode. Whoever decodes catches these and tells them in words of its own.
No context manager does it for them: each delivery decodes several registers, and entering one takes longer than that.
"""

MAX_DEPTH = 64
"""Levels of nesting; far below where a decoder's stack ends, here or in an app."""


_WHOLE = re.compile(rb"\\\\|\\u[dD][89abAB]..\\u[dD][c-fC-F]..")
"""A surrogate pair as JSON escapes it; or a backslash, after which a u is but a u."""
_HALF = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_BOM = b"\xef\xbb\xbf"


def without_bom(body: bytes) -> bytes:
    """The body without the byte order mark that some libraries put before it: RFC 8259 lets a reader ignore it."""
    return body.removeprefix(_BOM)


def read(data: bytes | Raw) -> object:
    """The decoded data. Raises EventError for what is no JSON, or nested too deep."""
    try:
        value: object = json.decode(data)
        json.encode(value)  # a lone surrogate can be read, but not written
    except RecursionError:
        raise EventError(f"nested more than {MAX_DEPTH} levels deep") from None
    except UNDECODABLE as error:
        raise EventError(f"not JSON: {why(data, error)}") from error
    if not _is_shallow(value):
        raise EventError(f"nested more than {MAX_DEPTH} levels deep")
    return value


def why(data: bytes | Raw, error: Exception) -> str:
    """What is wrong with bytes that cannot be decoded. msgspec calls half of a surrogate pair the end of the input."""
    said = str(error)
    halved = any(word in said for word in ("surrogate", "escape", "truncated")) and _HALF.search(_WHOLE.sub(b"", data))
    return "a string holds half of a surrogate pair, which is no character" if halved else said


def is_json(data: bytes) -> bool:
    """Whether it is JSON at all, however deep; a byte order mark before it does not count."""
    try:
        json.decode(without_bom(data))
    except RecursionError:
        return True
    except ValueError:
        return False
    return True


def _is_shallow(value: object) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [child for item in level for child in _children(item) if isinstance(child, dict | list)]
        if not level:
            return True
    return False


def _children(item: object) -> Iterable[object]:
    return item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
