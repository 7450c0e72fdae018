"""Whether an instance stands still: the two things that people are told apart, and the one place that decides them.

`parked`: something fails, or waits for help, for longer than the saga's `parkAfter`. Only the participant whose step it
is knows that, and its metric, its log, its alert and its API all ask here. `slow`: something is open for longer than
that, whatever the reason; the registers alone tell it, so every participant says the same. A healthy step may be slow.

For people: nothing that the protocol does hangs on it. How an instance looks as a whole is next door, in `instance`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from sagamesh.protocol.answers import APP_AWAY
from sagamesh.protocol.effects import LEASE_LOST, Delivery
from sagamesh.text import cut

PARK_AFTER = 600.0
"""Seconds that stand for `parkAfter` where no rules of the saga are at hand: the default of the language."""

UNCALLED = (APP_AWAY, LEASE_LOST)
"""Reasons that hide what was wrong before, since nobody was called."""
BEFORE = "; before that: "


class Trouble(NamedTuple):
    """What keeps a step from going on: it fails, or it waits for help. `step` is empty where it is the whole delivery.

    `since`, `seen`: from when on, and when it was found so last, by the server's time, in seconds since the epoch.
    """

    step: str
    reason: str
    since: float
    seen: float
    park_after: float


def trouble_of(
    delivery: Delivery, step: str, reason: str, *, now: float, park_after: float, before: Trouble | None = None
) -> Trouble:
    """A delivery does not get through, at `now`. `before`: its trouble when it came last, if that is remembered.

    One that comes for the first time fails only now: the sidecar may have been away for long. One that came before, to
    somebody who is not there to say how it went, has not got through since its register was stored.
    """
    if reason in UNCALLED and before is not None:
        reason = _behind(reason, before.reason)
    first = delivery.register.time if delivery.delivered > 1 else now
    return Trouble(step, reason, before.since if before else first, now, park_after)


def _behind(reason: str, last: str) -> str:
    """A reason that hides others, with the last that was none of them."""
    uncalled, _, specific = last.partition(BEFORE)
    specific = specific if uncalled in UNCALLED else last
    return cut(f"{reason}{BEFORE}{specific}") if specific else reason


def is_parked(trouble: Trouble) -> bool:
    """Whether it has been so for longer than `parkAfter`. Then people are alarmed; it is tried again all the same."""
    return trouble.seen - trouble.since > trouble.park_after


def is_slow(open_since: Iterable[float], *, now: float, park_after: float) -> bool:
    """Whether something has been open for longer than `parkAfter`. Times in seconds since the epoch."""
    return any(now - time > park_after for time in open_since)
