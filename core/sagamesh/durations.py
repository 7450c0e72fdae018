"""Durations as people write them: `1h30m`, `10s`, `200ms`, as in Go. In seconds everywhere else."""

from __future__ import annotations

import re

UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
"""Seconds of each. No days, as in Go: some have 23 hours."""
PART = re.compile(r"(\d+(?:\.\d{1,3})?)(ms|h|m|s)", re.ASCII)
"""Three decimals, so that every duration is a whole number of microseconds, here as at the API server."""
WHOLE = re.compile(rf"(?:{PART.pattern})+", re.ASCII)
RULE = "(hours are the largest unit; at most three decimals)"
LONGEST = 32
"""The most characters of a duration: twice as many as the longest that is meant, `9999h59m59s999ms`."""


def parse(text: str) -> float:
    """Seconds. Raises ValueError, with one sentence that says how durations are written."""
    if len(text) > LONGEST or not WHOLE.fullmatch(text):
        raise ValueError(f"{text[:LONGEST]!r} is not a duration; write it like 10s, 200ms or 1h30m {RULE}")
    return sum(float(number) * UNITS[unit] for number, unit in PART.findall(text))


def text(seconds: float) -> str:
    """As people write it, with the largest units that leave whole numbers: `1h30m`, `2m`, `200ms`. Of milliseconds."""
    left, parts = round(seconds * 1000), []
    for unit, size in UNITS.items():
        whole, left = divmod(left, round(size * 1000))
        if whole:
            parts.append(f"{whole}{unit}")
    return "".join(parts) or "0s"
