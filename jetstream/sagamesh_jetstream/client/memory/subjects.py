"""Which subjects a filter with wildcards takes, and how two filters lie to one another. Knows no saga."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache


@lru_cache(maxsize=4096)
def _pattern(subject: str) -> re.Pattern[str]:
    tokens = {"*": r"[^.]+", ">": r".+"}
    return re.compile(r"\.".join(tokens.get(token, re.escape(token)) for token in subject.split(".")))


def matches(subject: str, filters: Iterable[str]) -> bool:
    """Whether any of the filters takes it."""
    return any(_pattern(one).fullmatch(subject) for one in filters)


def overlap(one: str, other: str) -> bool:
    """Whether some subject fits both: `a.*.c` and `a.b.>` do."""
    left, right = one.split("."), other.split(".")
    for mine, theirs in zip(left, right, strict=False):
        if ">" in (mine, theirs):
            return True
        if "*" not in (mine, theirs) and mine != theirs:
            return False
    return len(left) == len(right)


def within(inner: str, outer: str) -> bool:
    """Whether a filter takes nothing that the other does not: `a.*.c` is part of `a.>`."""
    narrow, wide = inner.split("."), outer.split(".")
    for mine, theirs in zip(narrow, wide, strict=False):
        if theirs == ">":
            return True
        if mine == ">" or theirs not in ("*", mine):
            return False
    return len(narrow) == len(wide)
