"""A namespace with its operators, sidecars and sagas, and one run of it, all by one seed.

A storm, in which everything may go wrong at any moment; then calm, after which things must be as they should; then one
thing more, which must have its effect within seconds. `witness` looks on all the while, `rest` judges the end.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any, NamedTuple

from sagamesh.distribution import buckets
from sagamesh.log import registers
from sagamesh.log.registers import Instance, SagaKey
from sagamesh.rules.local import LocalRules
from sagamesh_jetstream.client.memory import MemoryStreams, PageSizes
from sagamesh_operator.sagas.acceptance import judge
from support.distribution import endings, meddler, rest
from support.distribution.operators import EPOCH, Operator
from support.distribution.pods import OldPod, Pod, way_out, write
from support.distribution.product import REAL, Product
from support.distribution.weather import Weather
from support.distribution.witness import Witness
from support.fakes.memory_cluster import STEP, MemoryCluster
from support.fakes.surprises import Surprises
from support.fakes.virtual_loop import play

RESERVE = {
    "name": "reserve",
    "participant": "inventory",
    "after": ["go"],
    "action": {"path": "/reservations"},
    "emits": [{"event": "reserved"}],
    "compensation": {"path": "/reservations/undo"},
}
SPECS: tuple[dict[str, Any], ...] = (
    {},
    {"steps": [RESERVE, STEP | {"after": ["reserved"]}]},
    {"steps": [RESERVE]},
    {"start": {"participant": "web", "event": "go"}},
    {"steps": [STEP | {"after": ["never"]}]},
)
"""One pivot; a step before it; no pivot; another who starts it; one that the checks refuse."""
PARTICIPANTS = ("orders", "web", "inventory", "payments")
NAMES = ("a", "b", "c")
FOREIGN = "SAGA_shop_c"
"""In some worlds a stream of somebody else has the name of a log of ours."""


class Outline(NamedTuple):
    """What schedules have in common. `crowd`: operators at a time. `meddled`: somebody changes NATS by hand."""

    crowd: int
    meddled: bool


OUTLINES = {
    "one operator": Outline(1, meddled=False),
    "one operator and a meddler": Outline(1, meddled=True),
    "two operators": Outline(2, meddled=False),
    "two operators and a meddler": Outline(2, meddled=True),
}


class World:
    """`foreign`: the log of `c` is somebody else's. `ending`: what comes last."""

    def __init__(
        self, outline: Outline, seed: int, product: Product = REAL, ending: endings.Ending | None = None
    ) -> None:
        self.chance = Random(seed)
        self.product = product
        self.crowd, self.meddled = outline
        drawn = self.chance.choice(endings.ENDINGS)
        self.ending = ending or drawn
        self.resync = self.chance.choice((3.0, 20.0, 20.0))
        self.longest = 40.0
        """Seconds that an instance takes at most, for each of two registers."""
        self.foreign = self.chance.random() < 0.25
        self.weather, self.weather_of_pods = Weather(self.chance), Weather(self.chance)
        self.weather_of_kubernetes = Weather(self.chance)
        self.streams = MemoryStreams(clock=self.now, pages=PageSizes(subjects=3, infos=2))
        self.cluster = MemoryCluster()
        self.cluster.watched = self._changed
        self.witness = Witness(self.streams, self.cluster, strict=self.crowd == 1 and not self.meddled)
        self.operators: list[Operator] = []
        self.pods: list[Pod] = []
        self._old_pods: list[asyncio.Task[None]] = []
        self._numbers = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()

    def run(self) -> list[str]:
        """What went wrong."""
        before = random.getstate()  # of which the product takes its jitter
        random.seed(self.chance.random())
        try:
            with Surprises("sagamesh.operator", self.witness.blame):
                play(self.chance, self._whole())
        finally:
            random.setstate(before)
        return self.witness.violations

    def now(self) -> float:
        return EPOCH + asyncio.get_running_loop().time()

    async def _whole(self) -> None:
        meddler.prepare(self.streams, foreign_log=FOREIGN if self.foreign else "")
        for _ in range(self.crowd):
            self.recruit()
        await self._storm()
        await self.calm()
        await asyncio.sleep(300.0 if self.meddled else 130.0)
        await rest.check(self, "at rest")
        await self.ending(self)

    # -- the storm

    async def _storm(self) -> None:
        for weather in (self.weather, self.weather_of_kubernetes):
            weather.lost, weather.unanswered = self.chance.choice((0.0, 0.03)), self.chance.choice((0.0, 0.03))
            weather.crash, weather.slow = self.chance.choice((0.0, 0.01)), self.chance.choice((0.0, 0.1))
        self.weather_of_pods.slow = self.chance.choice((0.0, 0.1))
        whatever: list[Callable[[], object]] = [
            *[self.apply_one] * 4,
            *[self._delete_one] * 3,
            self._replace_one,
            *[self.begin_pod] * 3,
            self._begin_old_pod,
            self._end_a_pod,
            self._blind_a_pod,
            *[self._cut_a_line] * 2,
            self._crash_an_operator,
            self._break_a_watch,
        ]
        if self.meddled:
            whatever += [self._meddle] * 5
        self.apply_one()
        self.begin_pod()
        for _ in range(self.chance.randint(4, 16)):
            await asyncio.sleep(self.chance.choice((0.0, 0.1, 1.0, 10.0)) * self.chance.random())
            doing = self.chance.choice(whatever)()
            if asyncio.iscoroutine(doing):
                self._later(doing)
            self._reinforce()

    def _later(self, doing: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(doing)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _reinforce(self) -> None:
        """Sooner or later, who crashed is replaced."""
        if len(self.living) < self.crowd and self.chance.random() < 0.5:
            self.recruit()

    async def calm(self) -> None:
        """From now on nothing goes wrong, everybody is there and hears everybody, and nobody starts anything."""
        for weather in (self.weather, self.weather_of_pods, self.weather_of_kubernetes):
            weather.calm()
        for pod in self.pods:
            pod.log.blind = pod.starting = False
        while self._tasks:  # a start that is under way may still be taken
            await asyncio.wait(self._tasks)
        while len(self.living) < self.crowd:
            self.recruit()
        for operator in self.living:
            if not operator.nats.up:
                operator.nats.notice()
                operator.nats.connect()
            operator.kubernetes.lag = 0.0
        if self.streams.stream(buckets.RULES_STREAM) is None:
            self.apply("a", 0)  # or nobody would make it anew, and sidecars could not be told that a saga was deleted
        for old in self._old_pods:
            old.cancel()

    # -- what may happen

    @property
    def living(self) -> list[Operator]:
        return [operator for operator in self.operators if operator.alive]

    def recruit(self) -> Operator:
        """An operator that knows nothing yet."""
        name = f"operator {next(self._numbers)}"
        operator = Operator(
            name,
            self.product,
            self.streams,
            self.cluster,
            (self.weather, self.weather_of_kubernetes),
            self.witness,
            resync=self.resync,
        )
        self.operators.append(operator)
        self.witness.operators[name] = operator
        loop = asyncio.get_running_loop()
        loop.call_later(self.chance.uniform(0, 1), lambda: operator.alive and operator.nats.connect())
        loop.call_later(self.chance.uniform(0, 1), lambda: operator.alive and operator.kubernetes.watch())
        return operator

    def is_there(self, name: str) -> bool:
        """Whether there is such a Saga."""
        return SagaKey("shop", name) in self.cluster.objects

    def apply_one(self) -> None:
        self.apply(self.chance.choice(NAMES), self.chance.randrange(len(SPECS)))

    def apply(self, name: str, spec: int) -> None:
        self.cluster.apply(name, **SPECS[spec], parkAfter=f"{self.chance.randint(1, 3)}m")
        key = SagaKey("shop", name)
        verdict = judge(self.cluster.objects[key])
        self.witness.revisions[key, verdict.revision] = verdict.documents

    def _delete_one(self) -> None:
        if self.cluster.objects:
            self.cluster.delete(self.chance.choice(sorted(self.cluster.objects)).saga)

    async def _replace_one(self) -> None:
        """Deleted, and soon after there again."""
        if self.cluster.objects:
            name = self.chance.choice(sorted(self.cluster.objects)).saga
            self.cluster.delete(name)
            await asyncio.sleep(self.chance.choice((0.05, 0.5, 5.0)) * self.chance.random())
            self.apply(name, self.chance.randrange(len(SPECS)))

    def begin_pod(self, participant: str = "") -> Pod:
        """Mostly of who starts sagas."""
        participant = participant or self.chance.choice((*PARTICIPANTS, "orders", "orders"))
        pod = Pod(participant, f"pod{next(self._numbers)}", self.streams, self.weather_of_pods, self._accepted)
        pod.begin()
        self.pods.append(pod)
        return pod

    def _begin_old_pod(self) -> None:
        old = OldPod("payments", f"pod{next(self._numbers)}", self.streams)
        self._old_pods.append(asyncio.create_task(old.run()))

    async def _end_a_pod(self) -> None:
        if self.pods:
            await self.end_pod(self.chance.choice(self.pods), goodbye=self.chance.random() < 0.5)

    async def end_pod(self, pod: Pod, *, goodbye: bool) -> None:
        self.pods.remove(pod)
        await pod.end(goodbye=goodbye)

    def _blind_a_pod(self) -> None:
        if self.pods:
            pod = self.chance.choice(self.pods)
            pod.log.blind = not pod.log.blind

    async def _cut_a_line(self) -> None:
        """The operator finds out after a while; then a new connection is made."""
        if not self.living:
            return
        operator = self.chance.choice(self.living)
        operator.nats.cut()
        await asyncio.sleep(self.chance.uniform(0, 8))
        operator.nats.notice()
        await asyncio.sleep(self.chance.choice((0.5, 5.0, 40.0)) * self.chance.random())
        if operator.alive and not operator.nats.up:
            operator.nats.connect()

    def _crash_an_operator(self) -> None:
        if self.living:
            self.chance.choice(self.living).crash()

    async def _break_a_watch(self) -> None:
        if self.living:
            operator = self.chance.choice(self.living)
            operator.lose_watch()
            await asyncio.sleep(self.chance.uniform(0, 20))
            if operator.alive:
                operator.kubernetes.lag = self.chance.choice((0.0, 2.0))
                operator.kubernetes.watch()

    def _meddle(self) -> None:
        meddler.meddle(self.chance, self.streams, self.witness)

    def _changed(self, kind: str | None, document: dict[str, Any]) -> None:
        for operator in self.living:
            operator.kubernetes.tell(kind, document)

    # -- instances

    def _accepted(self, instance: Instance, rules: LocalRules) -> None:
        self.witness.accepted(instance, rules)
        self._later(self._live(instance, rules))

    async def _live(self, instance: Instance, rules: LocalRules) -> None:
        """An instance, until it ends, or its log does."""
        for name, value in way_out(rules, commits=self.chance.random() < 0.7):
            await asyncio.sleep(self.chance.choice((0.0025, 0.125, 1.0)) * self.chance.random() * self.longest)
            while self.log_of(rules.saga) and not write(self.streams, instance, name, value, rules.revision):
                await asyncio.sleep(1.0)
        self.witness.open.pop(instance, None)

    def log_of(self, name: str) -> Any:
        """The stream of a saga's log; None: there is none."""
        [stream] = registers.streams("shop", name)
        return self.streams.stream(stream)

    def entries(self, name: str) -> dict[str, bytes]:
        """What the rules bucket holds of a saga, but for the word that one was deleted."""
        wanted = buckets.saga_subjects("shop", name)
        found = self.streams.last(buckets.RULES_STREAM, [wanted])
        return {message.subject: message.body for message in found if not buckets.is_retired_key(message.subject)}
