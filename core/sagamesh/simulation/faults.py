"""What may go wrong in a schedule, and how often. Drawn for each schedule, a subset of its own."""

from __future__ import annotations

from dataclasses import dataclass, fields

from sagamesh.simulation.chooser import Chooser


@dataclass(slots=True)
class Faults:
    """Probabilities of each fault, wherever it can strike.

    Of a write: `lost_request` (not stored, no reply), `lost_reply` (stored, no reply), `ghost` (stored after it was
    given up for lost). Of a guard: `unguarded` (a marker is stored although the awaited register is there).
    Of a read: `stale` (what is there is not found). Of a delivery: `duplicate` (handed out while it is in hand),
    `lost_ack`, `replay` (handed out after its ack). Of a turn: `crash` (of a replica), `away` (an app begins or ends to
    be away). Of a call: `unanswered` (with or without effect), `not_yet` (to be repeated), `odd` (refused although it
    was done), `overdue` (the step's time is over).
    """

    lost_request: float = 0.0
    lost_reply: float = 0.0
    ghost: float = 0.0
    unguarded: float = 0.0
    stale: float = 0.0
    duplicate: float = 0.0
    lost_ack: float = 0.0
    replay: float = 0.0
    crash: float = 0.0
    away: float = 0.0
    unanswered: float = 0.0
    not_yet: float = 0.0
    odd: float = 0.0
    overdue: float = 0.0


MOST = Faults(0.2, 0.2, 0.1, 0.5, 0.5, 0.1, 0.3, 0.03, 0.05, 0.03, 0.3, 0.2, 0.05, 0.4)
"""The highest rate of each: such that most schedules see several faults, and nearly all of them still get somewhere."""

NONE = Faults()


def draw(chooser: Chooser) -> Faults:
    """Each fault is off in half of the schedules, and anywhere up to its highest rate in the others."""
    names = (field.name for field in fields(Faults))
    return Faults(**{name: chooser.random() * getattr(MOST, name) for name in names if chooser.random() < 0.5})
