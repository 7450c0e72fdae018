"""One pod of a participant: its sidecar's deliveries, as `app` puts them together, and its app."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from sagamesh.log.registers import Name
from sagamesh.protocol.answers import Answer
from sagamesh.protocol.attempt import WriteRefused
from sagamesh.rules.compiled import Rules
from support.deliveries.line import IN_HAND, Line
from support.deliveries.services import PodApp
from support.fakes.virtual_loop import VirtualProcess

if TYPE_CHECKING:
    from support.deliveries.world import World

SLOTS = 1000
"""So many that retries cost next to nothing: then their pace is core's, and can be foretold."""


class Counts:
    """metrics.Metrics: everything that a sidecar counted."""

    def __init__(self, blame: Callable[[str], None]) -> None:
        self.of: Counter[tuple[str, ...]] = Counter()
        self.parked_now = 0
        self._blame = blame

    def holds(self, rules: Rules) -> None: ...

    def forgets(self, saga: str) -> None: ...

    def listens(self, saga: str, up: Callable[[], bool]) -> None: ...

    def started(self, saga: str) -> None:
        self.of["started",] += 1

    def finished(self, saga: str, outcome: str, seconds: float) -> None:
        self.of["finished", outcome] += 1
        if not 0.0 < seconds < 10_000.0:
            self._blame(f"an instance is said to have taken {seconds} s")

    def parked(self, saga: str, sagas: int) -> None:
        if abs(sagas - self.parked_now) != 1 or sagas < 0:
            self._blame(f"{sagas} are said to be parked, after {self.parked_now}")
        self.parked_now = sagas

    def called(self, saga: str, step: str, kind: str, answer: Answer, seconds: float) -> None:
        self.of["called", step, kind] += 1
        if not 0.0 <= seconds < 100.0:
            self._blame(f"a call is said to have taken {seconds} s")

    def unevaluable(self, saga: str, step: str, place: str) -> None:
        self.of["unevaluable", step] += 1
        if handed := IN_HAND.get():
            handed.fail()

    def delivered(self, saga: str, result: str) -> None:
        self.of["delivered", result] += 1

    def wrote(self, name: Name, result: int | WriteRefused) -> None:
        self.of["wrote", name.register.partition(".")[0]] += 1

    def unreadable(self) -> None:
        self._blame("a register is said to be unreadable")

    def implausible(self, register: str) -> None:
        self._blame(f"{register} is said to contradict others")


class Shelf:
    """The rulebook of one sidecar, which has its rules, or `lacks` them just now."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.lacks = False

    def of(self, saga: str, revision: str) -> Rules | None:
        assert (saga, revision) == (self.rules.local.saga, self.rules.local.revision)
        return None if self.lacks else self.rules

    def lacking(self, saga: str, revision: str) -> str:
        return f"revision {revision} is not here yet"

    def return_rules(self) -> None:
        self.lacks = False

    def newest(self, saga: str) -> Rules:
        assert saga == self.rules.local.saga
        return self.rules


class DeliveringPod:
    """One pod, from its start to its end."""

    def __init__(self, world: World, participant: str, name: str, *, grace: float) -> None:
        self.participant = participant
        self.name = name
        self.killed = False
        self.process = VirtualProcess()
        self.shelf = Shelf(world.outline.rules[participant])
        self.line = Line(world.server, world.storm, world.witness, world.outside, world.ack_wait)
        self.line.taken = self._taken
        self.failures: Counter[str] = Counter()
        self.app = PodApp(world.ledgers, world.storm, world.witness, world.outside)
        self.counts = Counts(lambda words: world.witness.blame(f"{name}: {words}"))
        product: Any = world.product
        now = asyncio.get_running_loop().time
        self.availability = product.Availability(self.app, now=now)
        self.executor = product.Executor(
            participant, self.line, self.app, self.availability, self.counts, now=now, uniform=random.uniform
        )
        self.parking = product.Parking(self.counts, now=now)
        self.tally = product.Tally(now=now)
        self.relay = product.Relay(
            pod=name,
            executor=self.executor,
            rulebook=self.shelf,
            availability=self.availability,
            metrics=self.counts,
            parking=self.parking,
            tally=self.tally,
            retry_budget=product.RetryBudget(SLOTS, now=now, uniform=random.uniform),
            ack_wait=world.ack_wait,
        )
        self.subscriptions = product.Subscriptions(self.line, self.relay, self.counts, slots=SLOTS, grace=grace)
        self._tasks: list[asyncio.Task[None]] = []

    def begin(self) -> None:
        self.spawn(self._begin())

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """As a task of this process."""
        return asyncio.create_task(work, context=self.process.context.copy())

    async def _begin(self) -> None:
        await self.availability.look()
        works = (self.availability.run(), self.relay.renew(), self.subscriptions.run())
        self._tasks = [asyncio.create_task(work) for work in works]
        self.subscriptions.learned(self.shelf.rules)

    def _taken(self, handed: Any) -> None:
        if self.subscriptions.closed.startswith("drained"):
            self.line.witness.blame(f"{self.name} takes {handed}, though it has drained")
        handed.failures = self.failures
        handed.steps = len(self.shelf.rules.concerned(handed.register))

    # -- its end, and what it may suffer

    def stop(self) -> asyncio.Task[None]:
        """As a kubelet does."""
        return self.spawn(self._stop())

    async def _stop(self) -> None:
        await self.subscriptions.drain()
        for task in self._tasks:
            task.cancel()

    def kill(self) -> None:
        """Nothing of it goes on, and the log hands it nothing more."""
        self.killed = True
        self.process.stop()
        self._cut()

    def _cut(self) -> None:
        if self.line.subscription is not None:
            self.line.subscription.cut()

    def freeze(self) -> None:
        """It stands still. The log does not know."""
        self.process.stop()

    def thaw(self) -> None:
        """It goes on, unless it was killed."""
        if not self.killed and self.process.stands_still:
            self.line.gaps += 1
            self.process.go_on()
