"""What sentences are made of, in every room: texts cut short, lists, numbers, times, names. Each has one way here.

Durations are next door, in `durations`; what a terminal must not obey is the command line's own affair.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from difflib import get_close_matches

LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?")
"""The letters of a DNS label (RFC 1123)."""
LONGEST_LABEL = 63
"""Characters that one may have, by RFC 1123 as in Kubernetes."""
MOST_COMPARED = 8_000_000
"""Pairs of characters, for all guesses together: half a second, or some forty guesses among 500 names of twenty."""

LONGEST_REASON = 500
"""Characters of a sentence that says why something failed: it is stored, and sent along with every compensation."""


def is_label(text: str) -> bool:
    """Whether it is a DNS label: what Kubernetes, subjects and streams take as a name."""
    return len(text) <= LONGEST_LABEL and LABEL.fullmatch(text) is not None


def shortened(text: str, longest: int) -> str:
    """At most `longest` characters; what is missing at the end is told by three dots, which count."""
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def cut(reason: str) -> str:
    """A reason at its longest. The one place that cuts them: what keeps one, stores one or tells one comes here."""
    return shortened(reason, LONGEST_REASON)


def listed(names: Iterable[str], most: int = 5) -> str:
    """The first of them, and how many more there are: `a, b and 3 more`. By default five, which fit in a line."""
    every = list(names)
    more = len(every) - most
    return ", ".join(every[:most]) + (f" and {more} more" if more > 0 else "")


def series(names: Iterable[str], word: str) -> str:
    """All of them, at least one: `a, b and c`. `word` stands before the last."""
    *most, last = names
    return f"{', '.join(most)} {word} {last}" if most else last


def counted(number: int, noun: str) -> str:
    """`1 step`, `2 steps`. Of nouns that only take an s."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def is_digits(text: str) -> bool:
    """Whether it is a number, from 0, as programs write it: `str.isdigit` alone takes digits of every script."""
    return text.isascii() and text.isdigit()


def whole(text: str, least: int, most: int) -> int | None:
    """The number that a text is, in digits alone; None where it is none, or not from `least` to `most`.

    Zeros may stand before it. However long the text is: Python refuses to read numbers of thousands of digits.
    """
    if not is_digits(text) or len(text.lstrip("0")) > len(str(most)):
        return None
    number = int(text.lstrip("0") or "0")
    return number if least <= number <= most else None


def rfc3339(moment: datetime, timespec: str = "auto") -> str:
    """A moment in UTC, with `Z`, as Kubernetes, CEL and CloudEvents write it. `timespec`: as `isoformat` takes it."""
    return moment.astimezone(UTC).isoformat(timespec=timespec).replace("+00:00", "Z")


class Guesses:
    """Which of some names was meant by one that is none of them? Guessing ends where it would take too long."""

    def __init__(self) -> None:
        self._left = MOST_COMPARED

    def of(self, name: str, names: Collection[str]) -> str | None:
        """The one that is most like it; None: none is, or there was too much to guess already."""
        if self._left > 0:
            self._left -= len(name) * sum(map(len, names))
        close = get_close_matches(name, names, 1) if self._left > 0 else ()
        return next(iter(close), None)
