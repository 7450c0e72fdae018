"""The participants' apps: what they keep is core's simulation's, and each pod has one of its own to answer calls."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from random import Random

from sagamesh.protocol.answers import Answer, Answered, Away, Unanswered
from sagamesh.simulation.apps import Apps, Fate
from sagamesh.simulation.faults import NONE, Faults
from sagamesh.simulation.outline import Outline
from support.deliveries.line import IN_HAND, Outside
from support.deliveries.storm import Storm
from support.deliveries.witness import Witness

MOODS = ("well", "well", "busy", "busy for a second", "hangs", "away", "breaks", "not yet")
"""What an app may be like for a while. Busy: 503."""


class Ledgers:
    """What was done and undone of each instance. `stored`: how many registers were written so far.

    `applied`: instance -> (step, done or undone) -> how many stood when an app did it.
    """

    def __init__(self, outline: Outline, chance: Random, stored: Callable[[], int]) -> None:
        self.applied: defaultdict[str, dict[tuple[str, str], int]] = defaultdict(dict)
        self._stored = stored
        self.faults: Faults = NONE
        self.chance = chance
        self._outline = outline
        self._rate = chance.choice((0.0, 0.0, 0.15, 0.4))
        self._of: dict[str, Apps] = {}

    def of(self, instance: str) -> Apps:
        """Each instance has fates of its own."""
        if instance not in self._of:
            self._of[instance] = Apps(self._outline, self.chance, self.faults, self._fates())
        self._of[instance].faults = self.faults
        return self._of[instance]

    def take(self, instance: str, step: str, *, undo: bool) -> Answer:
        """One call."""
        ledger = self.of(instance)
        answer = ledger.undo(step) if undo else ledger.act(step)
        for kind, steps in (("done", ledger.done), ("undone", ledger.undone)):
            if step in steps:
                self.applied[instance].setdefault((step, kind), self._stored())
        return answer

    def _fates(self) -> dict[str, Fate]:
        """A retriable step succeeds in the end."""
        outline, chance = self._outline, self.chance
        return {
            name: "refused" if name not in outline.retriable and chance.random() < self._rate else "done"
            for name in outline.steps
        }


class PodApp:
    """ports.App of one pod. `mood` is one of MOODS; `busy`: how often it says 503 yet, to each path.

    `broken`: paths at which it says 500. `takes`: seconds more that it takes. `called_for`: instance -> how often it
    was called.
    """

    def __init__(self, ledgers: Ledgers, storm: Storm, witness: Witness, outside: Outside) -> None:
        self.mood = "well"
        self.busy: dict[str, int] = {}
        self.broken: set[str] = set()
        self.takes = 0.0
        self.calls = 0
        self.called_for: Counter[str] = Counter()
        self._ledgers = ledgers
        self._storm = storm
        self._witness = witness
        self._outside = outside

    async def reachable(self, timeout: float = 1.0) -> bool:
        await self._outside.ask(self._storm.travel())
        return self.mood != "away"

    async def post(self, path: str, headers: Mapping[str, str], body: bytes, *, timeout: float) -> Answer:
        handed = IN_HAND.get()
        self._witness.posts(handed, path, headers)
        self.calls += 1
        self.called_for[headers["saga-id"]] += 1
        try:
            async with asyncio.timeout(timeout):
                answer = await self._outside.ask(self._take(path, headers["saga-id"]))
        except TimeoutError:
            answer = Unanswered("timeout")
        self._witness.answered(handed, answer)
        return answer

    async def _take(self, path: str, instance: str) -> Answer:
        storm, chance = self._storm, self._storm.chance
        await asyncio.sleep(chance.uniform(0.0, 0.001))
        if self.mood == "away":
            return Away()
        if self.busy.get(path):
            self.busy[path] -= 1
            return Answered(503, {"retry-after": "0"}, b"")
        if path in self.broken:
            return Answered(500, {}, b"")
        match self.mood:
            case "busy":
                await asyncio.sleep(self.takes)
                return Answered(503, {}, b"")
            case "busy for a second":
                return Answered(503, {"retry-after": "1"}, b"")
            case "breaks":
                return chance.choice((Answered(500, {}, b""), Unanswered("reset")))
            case "not yet":
                return Answered(425, {"retry-after": chance.choice(("0", "2"))}, b"")
        await asyncio.sleep(chance.uniform(0.0, 6.0) if storm.draws(storm.slow) else chance.uniform(0.001, 0.05))
        await asyncio.sleep(self.takes)
        if storm.draws(storm.reset / 2):
            return Unanswered("reset")
        step, _, undo = path.removeprefix("/").partition("/")
        answer = self._ledgers.take(instance, step, undo=bool(undo))
        if self.mood == "hangs":
            await asyncio.sleep(3600.0)
        if storm.draws(storm.reset / 2):
            return Unanswered("reset")
        return answer
