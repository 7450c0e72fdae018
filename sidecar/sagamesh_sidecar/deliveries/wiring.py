"""Tells mistakes of wiring at once: a wrong path, a missing login, a redirect. They fail every instance alike.

What such a mistake is, core's `answers` says. Here it is only seen to that people hear of it before `within` or
`parkAfter` is over, and of thousands of instances not more than once a minute.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic

from sagamesh.protocol.answers import Answer, Answered, is_miswired, reason
from sagamesh.protocol.effects import Call
from sagamesh.text import cut

logger = logging.getLogger("sagamesh.app")

SILENCE = 60.0
"""Seconds until the same mistake is told again."""


class Wiring:
    """What was told of which call, and when: an entry for each step, kind of call and status of such a mistake.

    `now`: a clock in seconds.
    """

    def __init__(self, *, now: Callable[[], float] = monotonic) -> None:
        self._now = now
        self._told: dict[tuple[str, str, str, int], float] = {}

    def observe(self, saga: str, step: str, call: Call, answer: Answer) -> None:
        """Learn from an answer, and tell what will not mend itself."""
        if not isinstance(answer, Answered) or not is_miswired(answer, compensation=call.kind == "compensation"):
            return
        key, now = (saga, step, call.kind, answer.status), self._now()
        if now - self._told.get(key, -SILENCE) < SILENCE:
            return
        self._told[key] = now
        about = {"saga": saga, "step": step, "reason": cut(reason(answer, call.path))}
        logger.warning("a mistake of wiring", extra=about)
