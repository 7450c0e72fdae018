"""What must hold at every moment: seen at each write, call and word about a delivery."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Mapping

from sagamesh.log import registers
from sagamesh.log.registers import START, Name
from sagamesh.protocol.answers import Answer, is_away
from sagamesh_sidecar.ports import Guard, Lease

LATE = 60.0
"""Seconds after which a write must not bring back what was deleted meanwhile (docs/protocol.md)."""
BACKOFF, MAX_BACKOFF, MAX_BACKOFF_BACK = 0.2, 10.0, 60.0
"""Seconds between calls that fail: at first, at most, and at most on the way back."""
IN_NO_CASE_SOONER = 2.0
"""Seconds at most until what is held for another reason comes again."""
SLACK = 1.0
"""Seconds that the retry budget adds at most, since few wait here."""


class HandedOut:
    """A delivery in the hands of a sidecar, as it must see it. `renewed`: when its lease was last known to be its own.

    `answers`: what the app said to the calls for it. `failed`: how often something failed, at most.
    """

    def __init__(self, lease: Lease, ack_wait: float, now: float) -> None:
        self.message = lease.message
        self.delivered = lease.delivered
        self.ack_wait = ack_wait
        self.came = self.renewed = now
        self.settled = ""
        self.answers: list[Answer] = []
        self.failed = 0
        self.steps = 1
        self.failures: Counter[str] = Counter()
        """Of the sidecar that has it in hand: subject of a delivery -> how often something failed, at most."""

    @property
    def register(self) -> Name:
        return registers.parse(self.message.subject)[1]

    def fail(self) -> None:
        """A call failed, or the log did not take a register."""
        self.failed += 1
        self.failures[self.message.subject] += 1

    def lost(self, now: float) -> bool:
        """Whether another may have it by now."""
        return now - self.renewed > self.ack_wait

    def __str__(self) -> str:
        return f"{self.message.subject}, delivered {self.delivered} times"


class Witness:
    """`violations`: what went wrong so far. `clock`: the server's. `open_steps`: those that need no `begin`."""

    def __init__(self, clock: Callable[[], float], open_steps: Collection[str]) -> None:
        self._open = open_steps
        self._begun: set[str] = set()
        self._events: dict[str, dict[str, str]] = {}
        """Idempotency key -> the event that the call was, which is the same however often it comes."""
        self.violations: list[str] = []
        self.calls: Counter[tuple[str, str]] = Counter()
        """(instance, path) -> how often that was called."""
        self._clock = clock

    def blame(self, words: str) -> None:
        self.violations.append(f"{words}, at {self._now():.1f} s")

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    # -- what a sidecar does

    def puts(self, handed: HandedOut | None, subject: str, guard: Guard | None) -> None:
        if handed is None:
            return
        if handed.settled:
            self.blame(f"{subject} is written on behalf of {handed}, which was {handed.settled}")
        instance, name = registers.parse(subject)
        late = handed.delivered > 1 or self._clock() - (self._now() - handed.came) - handed.message.time > LATE + 0.001
        first = name.register == "begin"
        if name.register == "end" and name.step in self._open:
            first = instance.subject(registers.begin(name.step)) not in self._begun
        if first and late and (guard is None or guard.subject != instance.subject(START)):
            self.blame(f"{subject} is written without a guard, on behalf of {handed}, which is late")
        if name.register == "begin":
            self._begun.add(subject)

    def posts(self, handed: HandedOut | None, path: str, headers: Mapping[str, str]) -> None:
        """A call begins."""
        assert handed is not None
        self.calls[headers["saga-id"], path] += 1
        if handed.settled:
            self.blame(f"{path} is called on behalf of {handed}, which was {handed.settled}")
        if handed.lost(self._now()):
            self.blame(f"{path} is called on behalf of {handed}, whose lease is lost")
        instance, _ = registers.parse(handed.message.subject)
        run = handed.message.headers["saga-origin"].split(";")[0]
        step, _, undo = path.removeprefix("/").partition("/")
        kind = "compensation" if undo else "action"
        key = f'"{instance.namespace}/{instance.saga}/{instance.id}/{run}/{step}/{kind}"'
        said = headers["idempotency-key"], headers["saga-attempt"], headers["saga-step"]
        if said != (key, str(handed.delivered), step):
            self.blame(f"{path} is called with {said} on behalf of {handed}")
        event = {name: value for name, value in headers.items() if name.startswith("ce-")}
        if self._events.setdefault(key, event) != event:
            self.blame(f"{path} is called with {event}, and was with {self._events[key]}")

    def answered(self, handed: HandedOut | None, answer: Answer) -> None:
        assert handed is not None
        handed.answers.append(answer)
        if not is_away(answer):
            handed.fail()

    def acks(self, handed: HandedOut) -> None:
        self._settles(handed, "acked")

    def naks(self, handed: HandedOut, delay: float) -> None:
        self._settles(handed, "given back")
        if handed.lost(self._now()):
            self.blame(f"{handed} is given back, though its lease is lost")
        if handed.steps == 1:
            self._paces(handed, delay)

    def _paces(self, handed: HandedOut, delay: float) -> None:
        """No delay is longer than failed calls make it."""
        subject = handed.message.subject
        failures = handed.failures[subject] - handed.failed
        back = ".abort" in subject or ".compensation" in subject
        longest = min(BACKOFF * 2 ** min(failures, 16), MAX_BACKOFF_BACK if back else MAX_BACKOFF)
        asked = max(
            (float(getattr(answer, "headers", {}).get("retry-after", 0)) for answer in handed.answers), default=0
        )
        if delay > max(longest, IN_NO_CASE_SOONER, asked) + SLACK:
            self.blame(f"{handed} comes again after {delay:.1f} s, after {failures} failures")

    def _settles(self, handed: HandedOut, how: str) -> None:
        if handed.settled:
            self.blame(f"{handed} is {how}, and was {handed.settled}")
        handed.settled = how

    def renews(self, handed: HandedOut) -> None:
        if handed.settled:
            self.blame(f"the lease of {handed} is renewed, which was {handed.settled}")
        if handed.lost(self._now()):
            self.blame(f"the lease of {handed} is renewed, though it is lost")
