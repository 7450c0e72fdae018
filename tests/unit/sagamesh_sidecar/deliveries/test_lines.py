"""What a sidecar logs about instances: each line says which one, and none holds what the app's users have given.

The lines are those of whole runs, as JSON, at the level `debug`: whatever is logged there, now or one day, is judged.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from sagamesh.language.model import Saga
from sagamesh.log import codec, registers
from sagamesh.log.registers import Cause, Notice, Origin
from sagamesh.protocol.answers import Answer
from sagamesh.protocol.attempt import Given, Operation
from sagamesh_sidecar.adapters.memory import MemoryLog
from sagamesh_sidecar.api.instances import StartResult
from sagamesh_sidecar.deliveries.work import Work
from sagamesh_sidecar.json_logging import JsonFormatter
from support.builders import attempts, shapes
from support.fakes.mesh import LOST, Mesh, ok, scenario

Line = dict[str, Any]

SECRET = "4242 4242 4242 4242"
"""Stands in whatever an app's users give: in events, keys, results, and answers."""
BAD = {"card": SECRET}
STEPS = {"book", "charge", "ship"}
OF_NO_STEP = {"again later", "parked"}
"""Lines that are of a whole delivery, too: one whose rules are missing waits for all its steps at once."""


def saga(**changes: str) -> Saga:
    """Undoable, then the pivot, then retriable; parked soon."""
    book = attempts.step("book", **changes)
    charge = attempts.step("charge", "book.ok", kind="pivot")
    steps = (book, charge, attempts.step("ship", "charge.ok", kind="retriable"))
    return replace(shapes.saga(*steps), park_after=5.0)


def trace_of(key: str) -> str:
    return f"00-{hashlib.sha256(key.encode()).hexdigest()[:32]}-b7ad6b7169203331-01"


def meshed(grace: float = 10.0, **changes: str) -> Mesh:
    """Its peers, over a log whose time is the virtual one."""
    mesh, now = Mesh(saga(**changes), grace=grace), asyncio.get_running_loop().time
    mesh.server.clock = lambda: 1_000_000_000.0 + now()
    return mesh


class Ear(logging.Handler):
    """Hears everything that is logged, whoever logs it."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(JsonFormatter(pod="pod"))
        self.lines: list[Line] = []
        self.written = ""

    def emit(self, record: logging.LogRecord) -> None:
        written = self.format(record)
        self.written += written
        self.lines.append(json.loads(written))


@pytest.fixture
def ear() -> Iterator[Ear]:
    heard, level = Ear(), logging.root.level
    logging.root.addHandler(heard)
    logging.root.setLevel(logging.DEBUG)
    yield heard
    logging.root.removeHandler(heard)
    logging.root.setLevel(level)


async def start(mesh: Mesh, key: str) -> StartResult:
    return await mesh.start(key, BAD, trace_of(key))


def judge(ear: Ear, key: str, started: StartResult, *messages: str) -> None:
    """These lines were heard of an instance, and each line about it says so in full, and nothing of its data."""
    about = [line for line in ear.lines if started.id in json.dumps(line) or started.run in json.dumps(line)]
    assert {line["message"] for line in about} >= set(messages)
    for line in about:
        told = {name: line.get(name) for name in ("saga", "instance", "run", "trace_id")}
        assert list(told.values()) == ["simulated", started.id, started.run, trace_of(key).split("-")[1]], line
        assert line.get("step") in STEPS or ("step" not in line and line["message"] in OF_NO_STEP), line
    assert SECRET not in ear.written
    assert key == started.id or key not in ear.written


@scenario
async def test_what_is_refused_and_hard_to_undo(ear: Ear) -> None:
    async with meshed(undo='{"x": event.data.missing}').running() as mesh:
        book, charge = mesh.peers["p-book"], mesh.peers["p-charge"]
        charge.app.answers["/charge"] = ok({"detail": "no", **BAD}, status=422)
        book.app.answers["/book"] = ok(BAD)
        book.app.answers["/book/undo"] = ok(BAD, status=500)
        started = await start(mesh, "i-1")
        await mesh.until(lambda: book.metric("sagas_parked", saga="simulated") == 1, 60.0)
        book.app.answers["/book/undo"] = ok(BAD)
        await mesh.until(lambda: registers.compensation("book") in mesh.registers(), 100.0)
    judge(ear, "i-1", started, "an expression cannot be evaluated", "again later", "parked")
    assert {"draining", "drained"} <= {line["message"] for line in ear.lines}


@scenario
async def test_what_must_succeed_and_does_not(ear: Ear) -> None:
    """By a key that is nobody's business, and by each answer that is told of."""
    key = f"alice, {SECRET}"
    async with meshed().running() as mesh:
        ship = mesh.peers["p-ship"].app
        answers: list[Answer] = [
            ok(BAD, status=500),
            ok(BAD, status=401),
            ok(BAD, status=409),
            LOST,
            ok(BAD, status=422),
        ]

        async def answer() -> Answer:
            return answers.pop(0) if answers else ok(BAD)

        ship.answers["/ship"] = answer
        started = await start(mesh, key)
        await mesh.until(lambda: registers.end("ship") in mesh.registers(started.id), 600.0)
    judge(ear, key, started, "a mistake of wiring", "again later")


@scenario
async def test_a_cancel_and_an_app_that_is_away(ear: Ear) -> None:
    """What a cancel writes belongs to the trace of the start, too."""
    mesh = meshed()
    mesh.peers["p-charge"].app.away = True
    async with mesh.running():
        book = mesh.peers["p-book"].app
        started = await start(mesh, "i-1")
        await mesh.until(lambda: registers.end("book") in mesh.registers())
        await mesh.until(lambda: "the app is not there yet" in {line["message"] for line in ear.lines})
        book.answers["/book/undo"] = ok(BAD, status=500)
        await mesh.cancel()
        await mesh.until(lambda: mesh.peers["p-book"].metric("sagas_parked", saga="simulated") == 1, 60.0)
        book.answers["/book/undo"] = ok()
        await mesh.until(lambda: registers.compensation("book") in mesh.registers(), 100.0)
    judge(ear, "i-1", started, "again later", "parked")


@scenario
async def test_what_is_given_back_at_the_end(ear: Ear) -> None:
    async with meshed(grace=1.0).running() as mesh:
        book = mesh.peers["p-book"].app

        async def hangs() -> Answer:
            await asyncio.sleep(1000.0)
            return ok()

        book.answers["/book"] = hangs
        started = await start(mesh, "i-1")
        await mesh.until(lambda: book.calls)
    judge(ear, "i-1", started)
    assert sorted(line["given_back"] for line in ear.lines if line["message"] == "drained") == [0, 0, 0, 1]


@scenario
async def test_rules_that_are_missing(ear: Ear) -> None:
    async with meshed().running() as mesh:
        book = mesh.peers["p-book"]
        kept, book.rulebook.of = book.rulebook.of, lambda saga, revision: None  # type: ignore[method-assign]
        started = await start(mesh, "i-1")
        await mesh.until(lambda: book.metric("sagas_parked", saga="simulated") == 1, 60.0)
        book.rulebook.of = kept  # type: ignore[method-assign]
        assert await mesh.ended() == "committed"
    judge(ear, "i-1", started, "again later", "parked")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError(), "no memory left to handle a delivery"),
        (KeyError("a fault of ours"), "a delivery could not be handled"),
    ],
)
def test_a_fault_of_the_sidecar(error: Exception, message: str, ear: Ear) -> None:
    @scenario
    async def test() -> None:
        async with meshed().running() as mesh:
            book = mesh.peers["p-book"]

            async def fails(work: Work, operation: Operation) -> Given:
                raise error

            book.executor.execute = fails  # type: ignore[method-assign]
            started = await start(mesh, "i-1")
            await mesh.until(lambda: any(line["message"] == message for line in ear.lines))
        judge(ear, "i-1", started, message, "again later")

    test()


@scenario
async def test_registers_of_nobody_honest(ear: Ear) -> None:
    """One that contradicts others, and one that no version can read, beside whose own step another one stands."""
    async with meshed().running() as mesh:
        log, started = MemoryLog(mesh.server), await start(mesh, "i-1")
        assert await mesh.ended() == "committed"
        origin = Origin(started.run, 1, 0.0, mesh.documents["app"].revision, "pod", "attempt")
        forged = Notice(Cause("cancelled", "forged"))
        headers, body = codec.encode(registers.ABORT, forged, origin, "somebody", trace_of("i-1"))
        await log.put(mesh.instance().subject(registers.ABORT), headers, body)
        await mesh.until(lambda: any(line["message"] == "implausible register" for line in ear.lines))
        place = mesh.instance("i-2").subject(registers.end("book"))
        headers["saga-origin"] = f"run-2;1;0.0;{mesh.documents['app'].revision};pod;a"
        headers["traceparent"] = trace_of("i-2")
        await log.put(place, headers, json.dumps({"value": "done", "event": 1, "data": BAD}).encode())
        await mesh.until(lambda: any(line["message"] == "unreadable register" for line in ear.lines))
    judge(ear, "i-1", started, "implausible register", "again later")
    judge(ear, "i-2", StartResult("i-2", "run-2", False, True), "unreadable register")
    assert {line["step"] for line in ear.lines if line["message"] == "unreadable register"} == {"book"}
