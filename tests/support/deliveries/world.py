"""One saga with several pods of each participant, and one run of it, all by one seed.

A storm, in which everything may go wrong at any moment; then calm, after which every instance must end; then one thing
more, which must go as it should. `witness` looks on all the while, `rest` judges the end.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
from collections.abc import Callable
from random import Random
from typing import Any

from msgspec.structs import replace

from sagamesh.distribution import topology
from sagamesh.distribution.plan import needed_filters
from sagamesh.language.model import Saga
from sagamesh.log import codec, registers
from sagamesh.log.registers import NULL, START, Instance, Origin, Start
from sagamesh.protocol.endings import ending
from sagamesh.rules.local import LocalRules
from sagamesh.simulation.faults import NONE, Faults
from sagamesh.simulation.outline import Outline
from sagamesh_sidecar.adapters.memory import MemoryServer
from sagamesh_sidecar.api.instances import Instances
from support.deliveries import endings, rest
from support.deliveries.line import Outside
from support.deliveries.pods import DeliveringPod
from support.deliveries.product import REAL, Parts
from support.deliveries.services import MOODS, Ledgers
from support.deliveries.storm import Storm
from support.deliveries.witness import Witness
from support.fakes.surprises import Surprises
from support.fakes.virtual_loop import play

EPOCH = 1_000_000_000.0
"""When virtual time begins, in seconds since the epoch."""
PARK_AFTER = 30.0


def trace_of(instance: str) -> str:
    """The trace that an instance is started with."""
    return f"00-{int(instance.removeprefix('i-')):032x}-b7ad6b7169203331-01"


class World:
    """`ending`: what comes last. `stormy`: whether anything goes wrong before."""

    def __init__(
        self,
        saga: Saga,
        seed: int,
        product: Parts = REAL,
        ending: endings.Ending | None = None,
        *,
        stormy: bool = True,
    ) -> None:
        self.chance = Random(seed)
        self.product = product
        self.saga = replace(saga, park_after=PARK_AFTER)
        self.outline = Outline(self.saga)
        drawn = self.chance.choice(endings.ENDINGS)
        self.ending = ending or drawn
        self.stormy = stormy
        self.gentle = True
        """Whether nobody ended, or gave up, between a write and what follows from it."""
        self.ack_wait = self.chance.choice((3.0, 10.0))
        self.crowd = self.chance.choice((1, 2, 3))
        self.witness = Witness(self.now, self.outline.open)
        self.storm = Storm(self.chance)
        self.server = MemoryServer(clock=self.now)
        [self.stream] = registers.streams(self.saga.namespace, self.saga.name)
        self.ledgers = Ledgers(self.outline, self.chance, lambda: self.server.messages(self.stream)[-1].sequence)
        self.pods: list[DeliveringPod] = []
        self.every: list[DeliveringPod] = []
        self.instances: list[str] = []
        self.cancelled: set[str] = set()
        self._unjudged: list[str] = []
        self.outcomes: list[str] = []
        """Of all instances, in the end."""
        self._ended: set[str] = set()
        self._numbers = itertools.count(1)
        self.outside: Outside
        self.heard: Callable[[logging.LogRecord], None] | None = None
        """Called with every line that the sidecars log, if somebody wants to judge them."""

    def run(self) -> list[str]:
        """What went wrong."""
        before = random.getstate()  # of which the product takes its jitter
        random.seed(self.chance.random())
        try:
            with Surprises("sagamesh", self.witness.blame, self.heard):
                play(self.chance, self._whole())
        finally:
            random.setstate(before)
        return self.witness.violations

    def now(self) -> float:
        return EPOCH + asyncio.get_running_loop().time()

    async def _whole(self) -> None:
        self.outside = Outside()
        self.outline.draw(self.chance)
        for config in topology.streams(self.saga.namespace, self.saga.name):
            self.server.create_stream(config)
        documents = {name: rules.local for name, rules in self.outline.rules.items()}
        for name, subjects in needed_filters(documents).items():
            config = {**topology.consumer(name, subjects), "ack_wait": int(self.ack_wait * topology.SECOND)}
            self.server.create_consumer(self.stream, config)
        for participant in self.outline.rules:
            for _ in range(self.crowd):
                self.begin_pod(participant)
        await asyncio.sleep(1.0)
        if self.stormy:
            await self._storm()
            await self.calm()
            await self.rest()
        self.outline.drawn.update(dict.fromkeys(self.outline.drawn, True))
        await self.ending(self)
        await self.calm()
        await self.rest()
        rest.judge_counts(self)

    async def rest(self) -> None:
        """What has begun ends, as it should."""
        if not self.witness.violations and await rest.reach(self):
            rest.judge(self, self._unjudged)
            self._unjudged = []

    @property
    def local(self) -> LocalRules:
        """What every participant's rules say alike of the saga as a whole."""
        return next(iter(self.outline.rules.values())).local

    # -- the storm

    async def _storm(self) -> None:
        self.storm.rise()
        self.ledgers.faults = Faults(not_yet=0.2 * self.chance.random(), odd=self.chance.choice((0.0, 0.05)))
        whatever: list[Callable[[], object]] = [
            *[self.start] * 4,
            *[self._change_mood] * 4,
            self._stop_a_pod,
            self._kill_a_pod,
            *[self._freeze_a_pod] * 2,
            self._take_rules,
            self._cut_the_log,
            self.server.forget_leases,
            self._cancel_one,
        ]
        self.start()
        for _ in range(self.chance.randint(4, 16)):
            await asyncio.sleep(self.chance.choice((0.0, 0.1, 1.0, 30.0)) * self.chance.random())
            self.chance.choice(whatever)()

    async def calm(self) -> None:
        """From now on nothing goes wrong, and everybody is there."""
        self.storm.calm()
        self.outline.mend()
        self.ledgers.faults = NONE
        if not self.server.available:
            self.server.up()
        for pod in self.pods:
            pod.shelf.lacks = False
            pod.app.mood = "well"
            pod.line.put_takes = pod.line.in_progress_takes = 0.0
            pod.thaw()
        for participant in self.outline.rules:
            if not self.of(participant):
                self.begin_pod(participant)

    def of(self, participant: str) -> list[DeliveringPod]:
        """The pods of a participant that are there."""
        return [pod for pod in self.pods if pod.participant == participant]

    def begin_pod(self, participant: str, grace: float | None = None) -> DeliveringPod:
        name = f"{participant}-{next(self._numbers)}"
        drawn = self.chance.choice((0.0, 1.0, 20.0))
        pod = DeliveringPod(self, participant, name, grace=drawn if grace is None else grace)
        self.pods.append(pod)
        self.every.append(pod)
        pod.begin()
        return pod

    def _any_pod(self) -> DeliveringPod:
        owners = [pod for pod in self.pods if pod.shelf.rules.local.own]
        return self.chance.choice(owners or self.pods)

    def _later(self, within: float, what: Callable[..., object], *given: Any) -> None:
        asyncio.get_running_loop().call_later(self.chance.uniform(0.0, within), what, *given)

    def stop(self, pod: DeliveringPod) -> asyncio.Task[None]:
        """It drains. Sooner or later another takes its place."""
        self._later(20.0, self.begin_pod, pod.participant)
        return self.dismiss(pod)

    def dismiss(self, pod: DeliveringPod) -> asyncio.Task[None]:
        """It drains, and nobody takes its place."""
        self.gentle = False
        self.pods.remove(pod)
        pod.thaw()
        return pod.stop()

    def kill(self, pod: DeliveringPod) -> None:
        """It is no more. Sooner or later another takes its place."""
        self.gentle = False
        self.pods.remove(pod)
        self._later(20.0, self.begin_pod, pod.participant)
        pod.kill()

    def _stop_a_pod(self) -> None:
        if self.pods:
            self.stop(self._any_pod())

    def _kill_a_pod(self) -> None:
        if self.pods:
            self.kill(self._any_pod())

    def _freeze_a_pod(self) -> None:
        if self.pods:
            pod = self._any_pod()
            pod.freeze()
            self._later(4 * self.ack_wait, pod.thaw)

    def _take_rules(self) -> None:
        if self.pods:
            pod = self._any_pod()
            pod.shelf.lacks = True
            self._later(2 * PARK_AFTER, pod.shelf.return_rules)

    def _change_mood(self) -> None:
        if self.pods:
            self._any_pod().app.mood = self.chance.choice(MOODS)

    def _cut_the_log(self) -> None:
        if self.server.available:
            self.gentle = False  # whoever waits for it too long gives up, and does not get to know what it wrote
            self.server.down()
            self._later(30.0, lambda: self.server.available or self.server.up())

    # -- instances

    def start(self) -> str:
        """One more instance."""
        name = f"i-{len(self.instances) + 1}"
        instance = Instance(self.saga.namespace, self.saga.name, name)
        value = Start(self.saga.start.event, name, "test", "digest", NULL)
        participant = self.saga.start.participant
        origin = Origin(f"run-{name}", 0, 0.0, self.outline.rules[participant].local.revision, "pod", f"start-{name}")
        headers, body = codec.encode(START, value, origin, participant, trace_of(name))
        available, self.server.available = self.server.available, True
        self.server.put(instance.subject(START), headers, body, None)
        self.server.available = available
        self.ledgers.of(name)
        self.instances.append(name)
        self._unjudged.append(name)
        return name

    def _cancel_one(self) -> None:
        if self.unfinished:
            self.cancel(self.chance.choice(self.unfinished))

    def cancel(self, name: str) -> None:
        """Somebody cancels an instance, where anybody is there to be asked."""
        if starters := self.of(self.saga.start.participant):
            self.cancelled.add(name)
            starters[0].spawn(self._cancel(starters[0], name))

    async def _cancel(self, pod: DeliveringPod, name: str) -> None:
        instances = Instances(pod.executor, pod.counts, pod=pod.name)  # type: ignore[arg-type]
        rules, start = self.outline.rules[pod.participant], rest.known(self, name)[START]
        instance = Instance(self.saga.namespace, self.saga.name, name)
        await instances.cancel(rules, start, instance, "changed my mind")

    @property
    def unfinished(self) -> list[str]:
        """The instances that have not ended."""
        for name in self.instances:
            if name not in self._ended and ending(self.local, rest.known(self, name)) is not None:
                self._ended.add(name)
        return [name for name in self.instances if name not in self._ended]
