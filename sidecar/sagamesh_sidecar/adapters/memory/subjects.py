"""Which subjects a filter with wildcards takes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache


@lru_cache(maxsize=1024)
def _pattern(subject: str) -> re.Pattern[str]:
    tokens = {"*": r"[^.]+", ">": r".+"}
    return re.compile(r"\.".join(tokens.get(token, re.escape(token)) for token in subject.split(".")))


def matches(subject: str, filters: Iterable[str]) -> bool:
    return any(_pattern(one).fullmatch(subject) for one in filters)
