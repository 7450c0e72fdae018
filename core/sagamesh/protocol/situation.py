"""What the rules of `decision` are written in: one own step in the light of one delivery, and the ways to learn more.

Each helper returns the effects to carry out first, or None where the decision may go on.
"""

from __future__ import annotations

from msgspec import Struct

from sagamesh.language.model import Retry
from sagamesh.log.registers import Name
from sagamesh.protocol.answers import Answer, Away
from sagamesh.protocol.effects import Ack, Delivery, Effects, Known, Nak, Prove, Read
from sagamesh.rules.compiled import OwnStep, Rules

ACK: Effects = (Ack(),)


class Situation(Struct, frozen=True):
    """One own step, in the light of one delivery."""

    rules: Rules
    known: Known
    delivery: Delivery
    step: OwnStep

    @property
    def trigger(self) -> Name:
        return self.delivery.register.name

    @property
    def answer(self) -> Answer | None:
        """What the app said; while it is away it need not be asked."""
        return self.known.answer or (Away() if self.known.app_away else None)


def read(at: Situation, *names: Name) -> Effects | None:
    """Look once at those of `names` that are not known. None: all were looked at."""
    known = at.known
    unread = tuple(n for n in names if n not in known.registers and n not in known.absent and n not in known.unseen)
    return (Read(unread),) if unread else None


def look(at: Situation, *names: Name) -> Effects | None:
    """Learn of each of `names` that it is there, or prove that it is absent. None: all are known."""
    if (unread := read(at, *names)) is not None:
        return unread
    for name in names:
        if name not in at.known.registers and name not in at.known.absent:
            return (Prove(name),)
    return None


def await_all(at: Situation, *names: Name) -> Effects | None:
    """None once all of `names` are there. One that is proven absent comes with a delivery that will find ours: ack."""
    if any(name in at.known.absent for name in names):
        return ACK
    return look(at, *names)


def come_back(at: Situation, reason: str = "") -> Effects:
    """Nothing can be done just now, and no call was made."""
    return (Nak(min(2.0, 0.1 * 2 ** min(at.delivery.delivered, 5)), reason),)


def retry(at: Situation, policy: Retry, reason: str, after: float = 0.0) -> Effects:
    """Call again, with growing delay, full jitter, and not before the app wants it."""
    doublings = min(at.known.failures, 16)
    return (Nak(min(policy.backoff * 2**doublings, policy.max_backoff), reason, at_least=after),)
