"""Tells that calls fail: the first one of a step at once, then each doubling, so that a lasting fault is told again.

For people, who must hear of it before `within` or `parkAfter` is over. Which answers are failures, and mistakes of
wiring among them, core's `decision` and `answers` say; what stands still by them, `parking` knows. Of thousands of
instances that fail alike some are told: the metrics count all calls.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic

from sagamesh.protocol.answers import Answer, is_away_there, is_miswired
from sagamesh.protocol.effects import CallKind
from sagamesh_sidecar.deliveries.tally import CallCount
from sagamesh_sidecar.deliveries.work import Work

logger = logging.getLogger("sagamesh.app")

MOST = 10
"""Lines in a `SPAN` about one step and one kind of call: more would tell the same, and hide what else is told."""
SPAN = 60.0
"""Seconds."""


class Failures:
    """How many lines there were lately about each step and kind of call. `now`: a clock in seconds."""

    def __init__(self, *, now: Callable[[], float] = monotonic) -> None:
        self._now = now
        self._lately: dict[tuple[str, str, CallKind], tuple[float, int]] = {}

    def tell(self, work: Work, answer: Answer, reason: str) -> None:
        """A call of some work has failed. `reason`: in a sentence."""
        count = work.count
        count.failed += 1
        if count.failed.bit_count() != 1 or not self._has_room(count):
            return
        told = "the app is away at a path" if is_away_there(answer) else "a call failed, and is made again"
        if is_miswired(answer, compensation=count.kind == "compensation"):
            told = "a mistake of wiring"
        logger.warning(told, extra={**work.fields, "failures": count.failed, "reason": reason})

    def _has_room(self, count: CallCount) -> bool:
        key, now = (count.instance.saga, count.step, count.kind), self._now()
        began, lines = self._lately.get(key, (now, 0))
        if now - began >= SPAN:
            began, lines = now, 0
        self._lately[key] = began, lines + 1
        return lines < MOST
