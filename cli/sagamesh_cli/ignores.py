"""Comments in a file of sagas that ignore a warning, and say why: `# sagamesh: ignore SM018 because the bank decides`.

One stands in the line of the finding, or by itself above it. Here they are only found: `saga_checks` says what they do
to findings. Errors cannot be ignored so, for the operator refuses the saga and never sees a comment.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

EXAMPLE = "# sagamesh: ignore SM018 because the bank alone decides that"
_COMMENT = re.compile(r"#\s*sagamesh\b[:\s]*ignore\b(?P<rest>[^\r\n\x85\u2028\u2029]*)")
_FORM = re.compile(r"\s+(?P<codes>SM\d+(?:\s*,\s*SM\d+)*)\s+because\s+(?P<reason>\S.*)", re.IGNORECASE)
_LINE = re.compile("[^\r\n\x85\u2028\u2029]*(?:\r\n|[\r\n\x85\u2028\u2029]|\\Z)")
"""A line, as YAML counts them."""


class Ignore(NamedTuple):
    """A comment on line `line`, about what stands on line `about`. Without a reason it names no codes either."""

    line: int
    about: int
    codes: tuple[str, ...]
    reason: str


def find(text: str, values: Iterable[tuple[int, int]]) -> tuple[Ignore, ...]:
    """The comments of a file that ignore something. `values`: from where to where its texts go, in which `#` is `#`."""
    lines, within = list(_LINE.finditer(text)), list(values)
    comments = (comment for comment in _COMMENT.finditer(text) if not _is_in(comment.start(), within))
    return tuple(_read(comment, lines) for comment in comments)


def _is_in(place: int, within: Iterable[tuple[int, int]]) -> bool:
    return any(place in range(*value) for value in within)


def _read(comment: re.Match[str], lines: list[re.Match[str]]) -> Ignore:
    number = next(n for n, line in enumerate(lines) if comment.start() < line.end())
    about = number
    if not lines[number].string[lines[number].start() : comment.start()].strip():  # by itself: about what comes next
        later = (n for n in range(number + 1, len(lines)) if lines[n][0].split("#")[0].strip())
        about = next(later, number)
    form = _FORM.fullmatch(comment["rest"].rstrip())
    codes = tuple(code.strip().upper() for code in form["codes"].split(",")) if form else ()
    return Ignore(number + 1, about + 1, codes, form["reason"] if form else "")
