"""Availability: lost by an app that is away, back when the app is; and at a path where it says 503, at that path alone.

In virtual time, so that a pause between probes is as long as it says, and over at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

import pytest

from sagamesh.protocol.answers import APP_AWAY, Answered, Away, Unanswered
from sagamesh_sidecar.deliveries.availability import FORGET, MOST_CLOSED, Availability
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
    probed = Availability(app, interval=1.0, now=asyncio.get_running_loop().time)
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
        assert probed.refusal("/a") == APP_AWAY
        assert probed.away
        app.away = False
        await until(4.0)
        assert not probed.away
        assert not probed.refusal("/a")


@scenario
async def test_an_app_that_comes_before_it_is_needed_was_never_away():
    app = ProbedApp(away=True)
    async with probing(app) as probed:
        app.away = False
        await until(4.0)
        assert not probed.refusal("/a")
        assert not probed.away


@scenario
async def test_an_app_that_is_there_at_the_first_look_may_be_called_at_once_and_is_not_probed():
    app = ProbedApp()
    async with probing(app) as probed:
        assert not probed.refusal("/a")
        assert not probed.away
        await until(30.0)
        assert app.probes == []


@scenario
async def test_the_pauses_are_long_until_somebody_misses_the_app():
    app = ProbedApp(away=True)
    async with probing(app) as probed:
        await until(8.0)
        assert app.probes == [4.0, 8.0]
        assert probed.refusal("/a") == APP_AWAY
        await until(14.0)
        assert app.probes == [4.0, 8.0, 12.0, 13.0, 14.0]


@scenario
async def test_an_app_is_probed_once_a_second_and_four_times_when_it_is_missed_if_nobody_says_otherwise():
    app = ProbedApp(away=True)
    probed = Availability(app)
    work = asyncio.create_task(probed.run())
    await until(1.0)
    probed.refusal("/a")
    await until(2.5)
    assert app.probes == [1.0, 2.0, 2.25, 2.5]
    work.cancel()


@scenario
async def test_an_app_whose_port_is_closed_is_back_when_it_takes_a_connection():
    app = ProbedApp()
    async with probing(app) as probed:
        app.away = True
        probed.observe("/a", Away())
        await until(1.0)
        assert probed.refusal("/a") == APP_AWAY
        app.away = False
        await until(2.0)
        assert not probed.away
        assert not probed.refusal("/a")
        assert not probed.refusal("/a"), "without a trial"
        await until(30.0)
        assert app.probes == [1.0, 2.0], "nobody asks once it is there"


@scenario
async def test_a_path_that_says_503_is_left_alone_once_it_is_asked_again():
    async with probing(ProbedApp()) as probed:
        probed.observe("/a", BUSY)
        assert probed.refusal("/a") == "POST /a answered 503"
        await until(0.8)
        assert probed.refusal("/a")
        await until(1.0)
        assert not probed.refusal("/a")
        probed.call("/a")
        assert probed.refusal("/a") == "POST /a answered 503"
        probed.observe("/a", Answered(503, {}, b'{"detail": "starting"}'))
        assert probed.refusal("/a") == "POST /a answered 503: starting"
        await until(2.1)
        assert not probed.refusal("/a")
        probed.call("/a")
        probed.observe("/a", FINE)
        for _ in range(3):
            assert not probed.refusal("/a")
            probed.call("/a")


@pytest.mark.parametrize("headers", [{}, {"retry-after": "30"}, {"retry-after": "0"}], ids=str)
@scenario
async def test_a_503_at_a_path_says_nothing_of_any_other_nor_of_the_app(headers: dict[str, str]):
    app = ProbedApp()
    async with probing(app) as probed:
        probed.observe("/a", Answered(503, headers, b""))
        assert probed.refusal("/a")
        assert not probed.refusal("/b")
        probed.call("/b")
        probed.observe("/b", FINE)
        assert probed.refusal("/a"), "nor does what another path says"
        assert not probed.away
        await until(30.0)
        assert app.probes == []


@scenario
async def test_the_trial_after_a_503_belongs_to_the_call_that_is_made_not_to_an_attempt_that_makes_none():
    async with probing(ProbedApp()) as probed:
        probed.observe("/a", BUSY)
        await until(1.0)
        for _ in range(3):
            assert not probed.refusal("/a"), "who came before has asked the app nothing"
        probed.call("/b")
        assert not probed.refusal("/a"), "nor has who called elsewhere"
        probed.call("/a")
        assert probed.refusal("/a"), "this was the trial"
        await until(2.1)
        assert not probed.refusal("/a"), "nobody knows what became of that call, so another may ask"


@scenario
async def test_a_trial_that_is_told_503_again_leaves_none_to_those_who_come_after():
    async with probing(ProbedApp()) as probed:
        probed.observe("/a", BUSY)
        await until(1.0)
        probed.call("/a")
        await until(2.0)
        probed.observe("/a", BUSY)
        assert probed.refusal("/a")
        await until(3.2)
        assert not probed.refusal("/a")


@scenario
async def test_an_app_that_says_503_to_everything_is_asked_no_more_often_than_at_one_path():
    paths = [f"/{number}" for number in range(20)]
    async with probing(ProbedApp()) as probed:
        asked = 0
        for path in paths:
            probed.observe(path, BUSY)
        while (now := asyncio.get_running_loop().time()) < 100.0:
            for path in paths:
                if not probed.refusal(path):
                    asked += 1
                    probed.call(path)
                    probed.observe(path, BUSY)
            await asyncio.sleep(0.05)
        assert 70 <= asked <= now + 1
        for path in paths[1:]:
            probed.observe(path, FINE)
        await asyncio.sleep(1.0)
        assert not probed.refusal(paths[0]), "it waits for itself alone again"


@scenario
async def test_a_path_that_nobody_asks_any_more_makes_no_other_wait():
    async with probing(ProbedApp()) as probed:
        for number in range(10):
            probed.observe(f"/gone/{number}", BUSY)
        await until(5.0)
        probed.observe("/a", BUSY)
        await until(10.0)
        assert probed.refusal("/a")
        await until(62.0)
        probed.observe("/a", BUSY)
        assert probed.refusal("/a")
        await until(63.1)
        assert not probed.refusal("/a")


@scenario
async def test_of_very_many_closed_paths_those_that_were_asked_last_are_known():
    async with probing(ProbedApp()) as probed:
        for number in range(MOST_CLOSED):
            probed.observe(f"/{number}", BUSY)
        probed.call("/0")
        probed.observe("/more", BUSY)
        closed = [number for number in range(MOST_CLOSED) if probed.refusal(f"/{number}")]
        assert closed == [0, *range(2, MOST_CLOSED)]


@pytest.mark.parametrize(("seconds", "known"), [(FORGET, True), (FORGET + 0.1, False)])
def test_a_path_that_nobody_asks_is_forgotten_after_a_minute(seconds: float, known: bool) -> None:
    @scenario
    async def test() -> None:
        async with probing(ProbedApp()) as probed:
            probed.observe("/a", BUSY)
            await asyncio.sleep(seconds)
            for number in range(MOST_CLOSED - 1):  # so many that its pause is longer than that
                probed.observe(f"/{number}", BUSY)
            assert bool(probed.refusal("/a")) is known

    test()


@scenario
async def test_an_answer_that_is_lost_says_that_somebody_is_there():
    async with probing(ProbedApp()) as probed:
        probed.observe("/a", Away())
        probed.observe("/a", Unanswered("reset"))
        assert not probed.away
        assert not probed.refusal("/a")


@scenario
async def test_a_port_that_closes_ends_what_was_known_of_its_paths():
    app = ProbedApp()
    async with probing(app) as probed:
        for path in ("/a", "/c", "/d", "/e"):  # so that the pause outlasts the absence
            probed.observe(path, BUSY)
        app.away = True
        probed.observe("/b", Away())
        assert probed.refusal("/a") == APP_AWAY
        app.away = False
        await until(1.0)
        assert not probed.away
        assert not probed.refusal("/a"), "its port is open, and it said no 503 since"


@scenario
async def test_an_app_that_says_503_after_its_port_was_closed_is_there_and_closed_at_that_path():
    async with probing(ProbedApp()) as probed:
        probed.observe("/a", Away())
        probed.observe("/a", BUSY)
        assert not probed.away
        assert probed.refusal("/a") == "POST /a answered 503"
        assert not probed.refusal("/b")


@scenario
async def test_what_an_app_says_with_a_503_is_kept_as_long_as_a_reason_may_be():
    async with probing(ProbedApp()) as probed:
        probed.observe("/a" + "x" * 600, BUSY)
        assert len(probed.refusal("/a" + "x" * 600)) == 500


@scenario
async def test_it_is_told_once_that_the_app_comes_and_goes_and_warned_of_from_its_first_coming(
    caplog: pytest.LogCaptureFixture,
):
    probed = Availability(ProbedApp())
    caplog.set_level(logging.INFO, "sagamesh.app")
    for _ in range(3):
        assert probed.refusal("/a") == APP_AWAY
    await probed.look()
    for answer in (*[Away()] * 3, *[Unanswered("reset")] * 3):
        probed.observe("/a", answer)
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("INFO", "the app is not there yet"),
        ("INFO", "the app is there"),
        ("WARNING", "the app is away"),
        ("WARNING", "the app is back"),
    ]
