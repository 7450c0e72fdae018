"""Parked and slow: what fails for long, and what merely takes long, as metric, log and API of each participant say it.

The server's clock is moved on by hand, so that `parkAfter` is over without any wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace

from sagamesh.language.model import Action
from sagamesh.log import codec, registers
from sagamesh.log.registers import NULL, Instance, Origin, Start
from sagamesh.protocol.answers import APP_AWAY, Answer
from sagamesh.protocol.view.standing import Trouble
from sagamesh.rules.projection import project
from sagamesh_sidecar.adapters.memory import MemoryLog
from sagamesh_sidecar.adapters.prometheus import PrometheusMetrics
from sagamesh_sidecar.deliveries.parking import Parking
from support.builders import shapes
from support.fakes.mesh import LOST, Mesh, ok, scenario

PLACE = Instance("default", "simulated", "i-1")
LOCKED = "POST /s0/undo answered 500: the book is locked"
HELD_UP = {"saga": "simulated", "instance": "i-1"}


def later(mesh: Mesh, seconds: float = 601.0) -> None:
    """From now on the server says that it is so much later."""
    mesh.server.clock = lambda: time.time() + seconds


@contextlib.contextmanager
def parked_lines() -> Iterator[list[dict[str, object]]]:
    """What the relays' log says of what is parked."""
    lines: list[dict[str, object]] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage() == "parked":
                lines.append({name: vars(record).get(name) for name in ("saga", "instance", "step", "reason")})

    listener, logger = Listener(), logging.getLogger("sagamesh.relay")
    logger.addHandler(listener)
    try:
        yield lines
    finally:
        logger.removeHandler(listener)


async def standing(mesh: Mesh) -> dict[str, str]:
    """Participant -> what its sidecar says of the instance, by its API; `parked` only where its metric says so, too."""
    said = {}
    for name, peer in mesh.peers.items():
        seen = await peer.view(PLACE)
        assert seen.parked == (peer.metric("sagas_parked", saga="simulated") == 1), name
        said[name] = "parked" if seen.parked else "slow" if seen.slow else ""
    return said


@scenario
async def test_a_healthy_step_that_takes_long_is_slow_and_parked_nowhere():
    with parked_lines() as lines:
        async with Mesh(shapes.straight(2)).running() as mesh:
            owner, release = mesh.peers["p-s0"], asyncio.Event()

            async def slow() -> Answer:
                await release.wait()
                return ok()

            owner.app.answers["/s0"] = slow
            await mesh.start()
            await mesh.until(lambda: owner.app.calls)
            assert set((await standing(mesh)).values()) == {""}
            later(mesh)
            assert set((await standing(mesh)).values()) == {"slow"}
            release.set()
            await mesh.ended()
            assert set((await standing(mesh)).values()) == {""}
    assert lines == []


@scenario
async def test_a_step_that_fails_for_long_is_parked_at_its_own_participant_and_slow_elsewhere():
    with parked_lines() as lines:
        async with Mesh(shapes.straight(2)).running() as mesh:
            owner, last = mesh.peers["p-s0"], mesh.peers["p-s1"]
            last.app.answers["/s1"] = ok({"detail": "no"}, status=422)
            owner.app.answers["/s0/undo"] = ok({"detail": "the book is locked"}, status=500)
            await mesh.start()
            await mesh.until(lambda: owner.app.paths.count("/s0/undo") > 1)
            assert set((await standing(mesh)).values()) == {""}
            later(mesh)
            await mesh.until(lambda: owner.metric("sagas_parked", saga="simulated") == 1)
            said = await standing(mesh)
            assert said.pop("p-s0") == "parked"
            assert set(said.values()) == {"slow"}
            assert [step.reason for step in (await owner.view(PLACE)).steps] == [LOCKED, "no"]
            calls = len(owner.app.calls)
            await mesh.until(lambda: len(owner.app.calls) > calls)
            await mesh.until(lambda: not owner.relay.in_flight)
            owner.app.answers.clear()
            assert await mesh.ended() == "aborted"
            await mesh.until(lambda: owner.metric("sagas_parked", saga="simulated") == 0)
            assert set((await standing(mesh)).values()) == {""}
            assert owner.relay.parking.of(PLACE) == ()
    assert lines == [{**HELD_UP, "step": "s0", "reason": LOCKED}], "told once"


@scenario
async def test_a_delivery_without_its_rules_waits_for_help_and_is_parked_after_park_after():
    """However often it was handed out: the rules may just be on their way."""
    with parked_lines() as lines:
        async with Mesh(shapes.straight(1)).running() as mesh:
            owner = mesh.peers["p-s0"]
            step = shapes.replace(mesh.saga.steps[0], action=Action(path="/newer"))
            mesh.documents = project(shapes.replace(mesh.saga, steps=(step,)))
            newer = mesh.documents["p-s0"].revision
            start = Start("start", "i-1", "test", "digest", NULL)
            headers, body = codec.encode(registers.START, start, Origin("run", 0, 0.0, newer, "pod", "attempt"), "app")
            await MemoryLog(mesh.server).put(PLACE.subject(registers.START), headers, body)
            await mesh.until(lambda: owner.metric("deliveries_total", saga="simulated", result="nak") >= 2)
            assert set((await standing(mesh)).values()) == {""}
            later(mesh)
            await mesh.until(lambda: owner.metric("sagas_parked", saga="simulated") == 1)
            assert (await standing(mesh))["p-s0"] == "parked"
            await mesh.distribute()
            assert await mesh.ended() == "committed"
            await mesh.until(lambda: owner.metric("sagas_parked", saga="simulated") == 0)
    assert lines == [{**HELD_UP, "step": None, "reason": f"revision {newer} is not here yet"}]


FAILS = Trouble("a", "the printer jams", since=1000.0, seen=1000.0, park_after=60.0)
PARKED = FAILS._replace(seen=1061.0)
KEY = ("subject", "a")


def sagas_parked(parking: Parking) -> float:
    metrics = parking.metrics
    assert isinstance(metrics, PrometheusMetrics)
    return metrics.registry.get_sample_value("sagamesh_sagas_parked", {"saga": "simulated"}) or 0.0


def new_parking(now: Callable[[], float] = time.monotonic) -> Parking:
    return Parking(PrometheusMetrics(app_up=lambda: True, connected=lambda: True), now=now)


def test_an_instance_is_counted_once_whatever_is_parked_of_it() -> None:
    parking = new_parking()
    assert parking.note(KEY, PLACE, PARKED)
    assert parking.note(("subject", "b"), PLACE, PARKED._replace(step="b"))
    assert sagas_parked(parking) == 1
    assert parking.note(("other", "a"), PLACE._replace(id="other"), PARKED)
    assert sagas_parked(parking) == 2
    parking.clear(KEY)
    assert sagas_parked(parking) == 2, "its other step still is"
    parking.clear(("subject", "b"))
    assert sagas_parked(parking) == 1


def test_it_is_parked_from_one_note_to_the_next() -> None:
    parking = new_parking()
    assert not parking.note(KEY, PLACE, FAILS)
    assert parking.note(KEY, PLACE, PARKED)
    assert not parking.note(KEY, PLACE, PARKED), "it was already"
    assert parking.failures(KEY) == 3
    assert not parking.note(KEY, PLACE, FAILS, called=False)
    assert sagas_parked(parking) == 0
    assert parking.failures(KEY) == 3
    assert parking.of(PLACE) == (FAILS,)


def test_a_trouble_is_what_failed_last_until_it_goes_on() -> None:
    parking = new_parking()
    assert (parking.trouble(KEY), parking.failures(KEY), parking.of(PLACE)) == (None, 0, ())
    parking.note(KEY, PLACE, FAILS)
    parking.note(KEY, PLACE, PARKED)
    parking.note(("subject", "b"), PLACE._replace(id="other"), FAILS)
    assert (parking.trouble(KEY), parking.failures(KEY), parking.of(PLACE)) == (PARKED, 2, (PARKED,))
    parking.clear(KEY)
    assert (parking.trouble(KEY), parking.failures(KEY), parking.of(PLACE)) == (None, 0, ())
    assert parking.failures(("subject", "b")) == 1


def test_the_gauge_rises_once_and_falls_once_however_often_what_is_parked_is_noted_and_cleared() -> None:
    said: list[tuple[str, int]] = []
    parking = Parking(SimpleNamespace(parked=lambda saga, sagas: said.append((saga, sagas))))
    for trouble in (FAILS, FAILS, PARKED, PARKED, PARKED):
        parking.note(KEY, PLACE, trouble)
    parking.note(("subject", "b"), PLACE, PARKED)
    assert said == [("simulated", 1)]
    for _ in range(2):
        parking.clear(KEY)
        parking.clear(("subject", "b"))
    assert said == [("simulated", 1), ("simulated", 0)]


def test_an_instance_stays_parked_when_another_step_of_it_goes_on_that_was_not() -> None:
    parking = new_parking()
    parking.note(KEY, PLACE, PARKED)
    parking.note(("subject", "b"), PLACE, FAILS)
    parking.clear(("subject", "b"))
    assert sagas_parked(parking) == 1
    parking.note(("subject", "b"), PLACE, FAILS)
    assert sagas_parked(parking) == 1


def test_sagas_are_counted_apart() -> None:
    said: dict[str, int] = {}
    parking = Parking(SimpleNamespace(parked=said.__setitem__))
    parking.note(KEY, PLACE, PARKED)
    parking.note(("elsewhere", "a"), PLACE._replace(saga="other"), PARKED)
    assert said == {"simulated": 1, "other": 1}


def test_while_the_app_is_away_failures_are_not_counted_and_those_of_before_are_handed_on() -> None:
    parking = new_parking()
    assert not parking.note(KEY, PLACE, FAILS, called=False)
    assert parking.failures(KEY) == 0
    for _ in range(2):
        parking.note(KEY, PLACE, FAILS)
    for _ in range(3):
        parking.note(KEY, PLACE, FAILS, called=False)
        assert parking.failures(KEY) == 2
    parking.note(KEY, PLACE, FAILS)
    assert parking.failures(KEY) == 3


@scenario
async def test_a_retry_after_the_app_was_away_goes_on_from_the_failures_of_before():
    async with Mesh(shapes.straight(1)).running() as mesh:
        owner, parking = mesh.peers["p-s0"], mesh.peers["p-s0"].relay.parking
        key = (PLACE.subject(registers.START), "s0")

        def reason() -> str:
            return owner.parking_reasons(PLACE).get("s0", "")

        owner.app.answers["/s0"] = LOST
        await mesh.start()
        await mesh.until(lambda: parking.failures(key) >= 3)
        owner.app.away, calls = True, len(owner.app.calls)
        naks = owner.metric("deliveries_total", saga="simulated", result="nak")
        await mesh.until(lambda: owner.metric("deliveries_total", saga="simulated", result="nak") >= naks + 3)
        assert reason() == "the app is away; before that: POST /s0: reset"
        assert parking.failures(key) == len(owner.app.calls) == calls
        owner.app.away = False
        await mesh.until(lambda: not reason().startswith(APP_AWAY))
        assert parking.failures(key) == len(owner.app.calls) > calls
        owner.app.answers.clear()
        await mesh.ended()
        assert parking.failures(key) == 0


def test_a_trouble_without_news_is_forgotten_after_five_minutes() -> None:
    now = 5000.0
    parking = new_parking(lambda: now)
    parking.note(KEY, PLACE, PARKED)
    parking.note(("subject", "b"), PLACE, FAILS)
    now += 200.0
    parking.note(("subject", "b"), PLACE, FAILS, called=False)
    now += 100.0
    parking.sweep()
    assert parking.of(PLACE) == (PARKED, FAILS)
    now += 0.5
    parking.sweep()
    assert parking.of(PLACE) == (FAILS,)
    assert sagas_parked(parking) == 0


def test_nothing_is_kept_of_an_instance_that_goes_on() -> None:
    parking = new_parking()
    parking.note(KEY, PLACE, FAILS)
    parking.note(KEY, PLACE, PARKED)
    parking.clear(KEY)
    assert (parking._noted, parking._parked) == ({}, {})
