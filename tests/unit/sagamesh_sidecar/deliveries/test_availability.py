"""Availability: lost by an app that is away, back when the app is, and not with every connection that it takes.

In virtual time, so that a pause between probes is as long as it says, and over at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

import pytest

from sagamesh.protocol.answers import Answered, Away, Unanswered
from sagamesh_sidecar.deliveries.availability import Availability
from support.fakes.mesh import FakeApp, scenario

BUSY = Answered(503, {}, b"")
FINE = Answered(200, {}, b"")


class ProbedApp(FakeApp):
    """Keeps when it was probed, in seconds of the loop. A probe is answered once `answers_probes` is set."""

    def __init__(self, *, away: bool = False) -> None:
        super().__init__()
        self.away = away
        self.probes: list[float] = []
        self.answers_probes = asyncio.Event()
        self.answers_probes.set()

    async def reachable(self, timeout: float = 1.0) -> bool:
        self.probes.append(asyncio.get_running_loop().time())
        await self.answers_probes.wait()
        return not self.away


@contextlib.asynccontextmanager
async def probing(app: ProbedApp) -> AsyncIterator[Availability]:
    """With its probe at work, from 0 seconds on; the first pause begins then."""
    probed = Availability(app, interval=1.0)
    await probed.look()
    app.probes.clear()
    work = asyncio.create_task(probed.run())
    yield probed
    work.cancel()


async def until(seconds: float) -> None:
    """Just after that time of the loop."""
    await asyncio.sleep(seconds + 0.1 - asyncio.get_running_loop().time())


@scenario
async def test_an_app_is_not_called_before_it_was_seen():
    app = ProbedApp(away=True)
    async with probing(app) as probed:
        assert not probed.away, "nobody has needed it"
        assert not probed.admit()
        assert probed.away
        app.away = False
        await until(4.0)
        assert not probed.away
        assert probed.admit()


@scenario
async def test_an_app_that_comes_before_it_is_needed_was_never_away():
    app = ProbedApp(away=True)
    async with probing(app) as probed:
        app.away = False
        await until(4.0)
        assert probed.admit()
        assert not probed.away


@scenario
async def test_an_app_that_is_there_at_the_first_look_may_be_called_at_once_and_is_not_probed():
    app = ProbedApp()
    async with probing(app) as probed:
        assert probed.admit()
        assert not probed.away
        await until(30.0)
        assert app.probes == []


@scenario
async def test_the_pauses_are_long_until_somebody_misses_the_app():
    app = ProbedApp(away=True)
    async with probing(app) as probed:
        await until(8.0)
        assert app.probes == [4.0, 8.0]
        assert not probed.admit()
        await until(14.0)
        assert app.probes == [4.0, 8.0, 12.0, 13.0, 14.0]


@scenario
async def test_an_app_is_probed_once_a_second_and_four_times_when_it_is_missed_if_nobody_says_otherwise():
    app = ProbedApp(away=True)
    probed = Availability(app)
    work = asyncio.create_task(probed.run())
    await until(1.0)
    probed.admit()
    await until(2.5)
    assert app.probes == [1.0, 2.0, 2.25, 2.5]
    work.cancel()


@scenario
async def test_an_app_whose_port_is_closed_is_back_when_it_takes_a_connection():
    app = ProbedApp()
    async with probing(app) as probed:
        app.away = True
        probed.observe(Away())
        await until(1.0)
        assert not probed.admit()
        app.away = False
        await until(2.0)
        assert not probed.away
        assert probed.admit()
        assert probed.admit(), "without a trial"
        await until(30.0)
        assert app.probes == [1.0, 2.0], "nobody asks once it is there"


@scenario
async def test_an_app_that_says_503_is_left_alone_once_it_is_asked_again():
    async with probing(ProbedApp()) as probed:
        probed.observe(BUSY)
        assert not probed.admit()
        await until(1.0)
        assert probed.admit()
        assert probed.away
        probed.call()
        assert not probed.admit()
        probed.observe(BUSY)
        await until(2.0)
        assert probed.admit()
        probed.call()
        probed.observe(FINE)
        assert not probed.away
        assert probed.admit()


@scenario
async def test_the_trial_after_a_503_belongs_to_the_call_that_is_made_not_to_an_attempt_that_makes_none():
    async with probing(ProbedApp()) as probed:
        probed.observe(BUSY)
        await until(1.0)
        for _ in range(3):
            assert probed.admit(), "who came before has asked the app nothing"
        probed.call()
        assert not probed.admit(), "this was the trial"
        await until(2.0)
        assert probed.admit(), "nobody knows what became of that call, so another may ask"


@scenario
async def test_a_trial_that_is_told_503_again_leaves_none_to_those_who_come_after():
    async with probing(ProbedApp()) as probed:
        probed.observe(BUSY)
        await until(1.0)
        probed.call()
        await until(2.0)
        probed.observe(BUSY)
        assert not probed.admit()
        await until(3.0)
        assert probed.admit()


@scenario
async def test_an_app_that_answers_makes_calls_free_and_a_call_uses_nothing_up():
    async with probing(ProbedApp()) as probed:
        probed.observe(FINE)
        for _ in range(3):
            assert probed.admit()
            probed.call()


@scenario
async def test_an_answer_that_is_lost_says_that_somebody_is_there():
    async with probing(ProbedApp()) as probed:
        probed.observe(Away())
        probed.observe(Unanswered("reset"))
        assert not probed.away
        assert probed.admit()


@scenario
async def test_a_port_that_closes_ends_the_trial_of_before():
    app = ProbedApp()
    async with probing(app) as probed:
        probed.observe(BUSY)
        await until(1.0)
        assert probed.admit()
        app.away = True
        probed.observe(Away())
        assert not probed.admit()
        app.away = False
        await until(2.0)
        assert not probed.away, "its port is open, and it said no 503 since"


@scenario
async def test_an_app_that_says_503_after_its_port_was_closed_is_asked_by_a_trial():
    async with probing(ProbedApp()) as probed:
        probed.observe(Away())
        probed.observe(BUSY)
        await until(1.0)
        assert probed.admit()
        assert probed.away, "a connection says nothing of it"


@scenario
async def test_an_app_that_answers_during_a_pause_needs_no_trial_and_leaves_none():
    async with probing(ProbedApp()) as probed:
        probed.observe(BUSY)
        await until(0.5)
        probed.observe(FINE)
        await until(1.0)
        assert probed.admit()
        probed.observe(BUSY)
        assert not probed.admit(), "no probe has asked since"


@scenario
async def test_an_app_that_answers_while_it_is_probed_needs_no_trial():
    app = ProbedApp()
    async with probing(app) as probed:
        app.answers_probes.clear()
        probed.observe(BUSY)
        await until(1.0)
        assert app.probes == [1.0]
        probed.observe(FINE)
        app.answers_probes.set()
        await until(1.5)
        assert probed.admit()
        probed.observe(BUSY)
        assert not probed.admit()


@scenario
async def test_it_is_told_once_that_the_app_comes_and_goes_and_warned_of_from_its_first_coming(
    caplog: pytest.LogCaptureFixture,
):
    probed = Availability(ProbedApp())
    caplog.set_level(logging.INFO, "sagamesh.app")
    for _ in range(3):
        assert not probed.admit()
    await probed.look()
    for answer in (*[Away()] * 3, *[Unanswered("reset")] * 3):
        probed.observe(answer)
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("INFO", "the app is not there yet"),
        ("INFO", "the app is there"),
        ("WARNING", "the app is away"),
        ("WARNING", "the app is back"),
    ]
