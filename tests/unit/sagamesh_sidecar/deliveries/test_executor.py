"""Operations as they are carried out: how long a pause is, and who may ask an app that said 503."""

from __future__ import annotations

import asyncio
import itertools

from sagamesh.errors import UnavailableError
from sagamesh.log import registers
from sagamesh.log.registers import Instance, Origin
from sagamesh.protocol.answers import Answer, Answered
from sagamesh.protocol.attempt import Fetch, Pause
from sagamesh.protocol.effects import Call
from sagamesh_sidecar.adapters.memory import MemoryLog, MemoryServer
from sagamesh_sidecar.adapters.prometheus import PrometheusMetrics
from sagamesh_sidecar.deliveries.availability import Availability
from sagamesh_sidecar.deliveries.executor import Executor
from sagamesh_sidecar.deliveries.work import Work
from support.fakes.mesh import FakeApp, ok, scenario

WORK = Work(Instance("default", "simulated", "i-1"), Origin("run", 1, 1.0, "revision", "pod", "attempt"), "s0")
PAUSES = [0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.0, 1.0]
"""Seconds at most, one after the other."""


def now() -> float:
    return asyncio.get_running_loop().time()


def executing(log: MemoryLog, app: FakeApp, drawn: list[tuple[float, float]]) -> Executor:
    """One that always draws the most. `drawn`: from and to what."""

    def most(lowest: float, highest: float) -> float:
        drawn.append((lowest, highest))
        return highest

    metrics = PrometheusMetrics(app_up=lambda: True, connected=lambda: True)
    return Executor("p-s0", log, app, Availability(app, interval=0.25, now=now), metrics, now=now, uniform=most)


@scenario
async def test_pauses_double_up_to_a_second_and_are_drawn_from_their_upper_half():
    drawn: list[tuple[float, float]] = []
    executor, took = executing(MemoryLog(MemoryServer()), FakeApp(), drawn), []
    for turn in range(8):
        begun = now()
        assert await executor.execute(WORK, Pause(turn)) is None
        took.append(round(now() - begun, 6))
    assert took == PAUSES
    assert drawn == [(0.5, 1.0)] * 8
    begun = now()
    await executor.execute(WORK, Pause(10**6))
    assert round(now() - begun, 6) == 1.0


@scenario
async def test_a_log_that_does_not_answer_is_asked_again_ever_less_often():
    asked: list[float] = []

    class DeafLog(MemoryLog):
        async def read(self, stream: str, subjects: object) -> tuple[()]:
            asked.append(now())
            if len(asked) <= len(PAUSES):
                raise UnavailableError("nobody answers")
            return ()

    executor = executing(DeafLog(MemoryServer()), FakeApp(), [])
    assert await executor.execute(WORK, Fetch((registers.START,))) == ()
    assert [round(later - before, 6) for before, later in itertools.pairwise(asked)] == PAUSES


@scenario
async def test_of_all_who_ask_a_path_that_said_503_one_is_the_trial():
    app = FakeApp()
    executor = executing(MemoryLog(MemoryServer()), app, [])
    availability, answered = executor.availability, asyncio.Event()
    await availability.look()
    app.answers["/s0"] = ok(status=503)
    call = Call("action", "/s0", b"null", 5.0, "start")
    await executor.execute(WORK, call)
    assert availability.refusal("/s0")
    await asyncio.sleep(1.0)
    assert not availability.refusal("/s0")

    async def slow() -> Answer:
        await answered.wait()
        return Answered(200, {}, b"")

    app.answers["/s0"] = slow
    trial = asyncio.create_task(executor.execute(WORK, call))
    await asyncio.sleep(0.01)
    assert availability.refusal("/s0"), "it is being asked"
    answered.set()
    await trial
    assert not availability.refusal("/s0")
