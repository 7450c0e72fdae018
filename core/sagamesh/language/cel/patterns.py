"""What regular expressions are made of: how many instructions RE2 compiles one to, or more, never fewer.

That is what one costs: compiling takes time by it, and so, at worst, does each character that is looked at. RE2 writes
repetitions out, and the bytes of UTF-8. Whether something is a regular expression, RE2 itself says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from math import prod

AT_LEAST = 50
"""What compiling anything at all takes, in instructions."""
_UNICODE_CLASS = 2000  # `\pL` is hundreds of ranges: 1,200 instructions, and slow ones
_ANY = 14  # `.`, or all characters but a few
_WIDE = 7  # a character of several bytes, or one end of a range of them
_FOLDED = 4  # in any case: `k` is also the sign of a unit, of three bytes
_SET = 6  # `\w`: a few ranges
_PLAIN = 1  # a byte
_AROUND = 6  # what every pattern has
_GROUP = 3  # its two ends, and a way past it
_WEIGHTS = {"unicode": _UNICODE_CLASS, "any": _ANY, "set": _SET, "wide": _WIDE, "plain": _PLAIN}

_WITHIN = re.compile(
    r"""(?P<unicode> \\[pP] ) | (?P<any> \\[WDSXC] | \[:\^ ) | (?P<set> \\[wds] )
    | (?P<wide> \\x\{ | [^\0-\x7f] ) | (?P<plain> \\. | . )""",
    re.VERBOSE | re.DOTALL,
)
_TIMES = r"\{ (?P<low>\d+) (?:,(?P<high>\d*))? \}"
_REPETITION = re.compile(_TIMES, re.VERBOSE)
_PART = re.compile(
    rf"""(?P<class> \[ \^? \]? (?: \\. | \[:\^?\w+:\] | [^\]\\] )* \] )
    | (?P<open> \( ) | (?P<close> \) ) | (?P<more> [*+?] ) | (?P<times> {_TIMES} )
    | (?P<char> \\x\{{[0-9A-Fa-f]*\}} | \\[pP](?: \{{\^?\w+\}} | [^{{] ) | \\. | . )""",
    re.VERBOSE | re.DOTALL,
)


@cache
def instructions(pattern: str) -> int:
    """At least as many as RE2 has of it."""
    folded = _FOLDED if re.search(r"\(\?\w*i", pattern) else 1
    if r"\Q" in pattern:  # text, up to `\E`; the rest would be taken for what it is not
        return folded * _UNICODE_CLASS * len(pattern) * prod(map(_times, _REPETITION.finditer(pattern)))
    groups: list[int] = []  # what stands before each, of those that are open
    done, last = _AROUND, 0  # what stands before the last part, and that, which may be repeated
    for part in _PART.finditer(pattern):
        if part["open"]:
            groups.append(done + last)
            done, last = _GROUP, 0
        elif part["close"] and groups:
            done, last = groups.pop(), done + last
        elif part["times"]:
            last = (last + 1) * _times(part)
        elif part["more"]:
            last += 2
        else:
            done, last = done + last, folded * sum(_weights(part[0]))
    return sum(groups) + done + last


def _times(part: re.Match[str]) -> int:
    return max(1, int(part["low"]), int(part["high"] or 0))


def _weights(part: str) -> Iterator[int]:
    """What a character, or a class of them, is compiled to."""
    if part.startswith("[^") or part == ".":
        yield _ANY
    listed = part[1:-1] if part.startswith("[") else part
    yield from (_WEIGHTS[found.lastgroup or ""] for found in _WITHIN.finditer(listed))
