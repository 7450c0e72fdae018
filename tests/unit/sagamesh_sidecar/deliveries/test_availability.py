"""Availability: lost by an app that is away, back when the app is, and not with every connection that it takes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace

import pytest

from sagamesh.protocol.answers import Answered, Away, Unanswered
from sagamesh_sidecar.deliveries.availability import Availability
from support.fakes.mesh import FakeApp, scenario

BUSY = Answered(503, {}, b"")


@contextlib.asynccontextmanager
async def availability(app: FakeApp) -> AsyncIterator[Availability]:
    """With its probe at work."""
    probed = Availability(app, interval=0.01)
    await probed.look()
    probing = asyncio.create_task(probed.run())
    yield probed
    probing.cancel()


async def until(condition) -> None:
    while not condition():
        await asyncio.sleep(0.005)


@scenario
async def test_an_app_is_not_called_before_it_was_seen():
    app = FakeApp()
    app.away = True
    async with availability(app) as probed:
        assert not probed.away, "nobody has needed it"
        assert not probed.admit()
        assert probed.away
        app.away = False
        await until(lambda: not probed.away)
        assert probed.admit()


@scenario
async def test_an_app_that_comes_before_it_is_needed_was_never_away():
    app = FakeApp()
    app.away = True
    async with availability(app) as probed:
        app.away = False
        await until(lambda: not probed._absent.is_set())
        assert probed.admit()
        assert not probed.away


@scenario
async def test_an_app_whose_port_is_closed_is_back_when_it_takes_a_connection():
    app = FakeApp()
    async with availability(app) as probed:
        app.away = True
        probed.observe(Away())
        assert not probed.admit()
        app.away = False
        await until(lambda: not probed.away)
        assert probed.admit()


@scenario
async def test_an_app_that_says_503_is_left_alone_once_it_is_asked_again():
    async with availability(FakeApp()) as probed:
        probed.observe(BUSY)
        await until(probed.admit)
        assert probed.admit(), "an attempt that makes no call takes nothing"
        assert probed.away
        probed.call()
        assert not probed.admit()
        probed.observe(BUSY)
        await until(probed.admit)
        probed.observe(Answered(200, {}, b""))
        assert not probed.away
        assert probed.admit()


@scenario
async def test_an_answer_that_is_lost_says_that_somebody_is_there():
    async with availability(FakeApp()) as probed:
        probed.observe(Away())
        probed.observe(Unanswered("reset"))
        assert not probed.away


def pausing(monkeypatch: pytest.MonkeyPatch, pause: Callable[[float], Awaitable[None]]) -> None:
    """Let `pause` stand for the pauses between probes; it takes their seconds."""
    stand_in = SimpleNamespace(Event=asyncio.Event, sleep=pause)
    monkeypatch.setattr("sagamesh_sidecar.deliveries.availability.asyncio", stand_in)


def test_the_pauses_are_long_until_somebody_misses_the_app(monkeypatch: pytest.MonkeyPatch) -> None:
    app = FakeApp()
    app.away = True
    probed = Availability(app)
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            raise asyncio.CancelledError
        probed.admit()

    pausing(monkeypatch, pause)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(probed.run())
    assert pauses == [1.0, 0.25]


def test_an_app_that_answers_during_a_pause_needs_no_trial_and_leaves_none(monkeypatch: pytest.MonkeyPatch) -> None:
    probed = Availability(FakeApp())

    async def pause(_seconds: float) -> None:
        probed.observe(Answered(200, {}, b""))

    async def until_it_rests() -> None:
        probed.observe(BUSY)
        await asyncio.wait({asyncio.create_task(probed.run())}, timeout=0)

    pausing(monkeypatch, pause)
    asyncio.run(until_it_rests())
    assert probed.admit()
    probed.observe(BUSY)
    assert not probed.admit(), "no probe has asked since"


def test_it_is_told_once_that_the_app_comes_and_goes_and_warned_of_from_its_first_coming(
    caplog: pytest.LogCaptureFixture,
) -> None:
    probed = Availability(FakeApp())
    caplog.set_level(logging.INFO, "sagamesh.app")
    for _ in range(3):
        assert not probed.admit()
    asyncio.run(probed.look())
    for answer in (*[Away()] * 3, *[Unanswered("reset")] * 3):
        probed.observe(answer)
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("INFO", "the app is not there yet"),
        ("INFO", "the app is there"),
        ("WARNING", "the app is away"),
        ("WARNING", "the app is back"),
    ]


@scenario
async def test_a_port_that_closes_ends_the_trial_of_before():
    app = FakeApp()
    async with availability(app) as probed:
        probed.observe(BUSY)
        await until(probed.admit)
        app.away = True
        probed.observe(Away())
        assert not probed.admit()


@scenario
async def test_an_app_that_answers_while_it_is_probed_needs_no_trial():
    app = FakeApp()
    asked, answered = asyncio.Event(), asyncio.Event()

    async def reachable(timeout: float = 1.0) -> bool:
        asked.set()
        await answered.wait()
        return True

    async with availability(app) as probed:
        app.reachable = reachable
        probed.observe(BUSY)
        await asked.wait()
        probed.observe(Answered(200, {}, b""))
        answered.set()
        await asyncio.sleep(0)
        probed.observe(BUSY)
        assert not probed.admit()
