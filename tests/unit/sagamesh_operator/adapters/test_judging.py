"""Specs judged by a process of its own: the real one, and ones to which bad things happen."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from sagamesh.errors import UnavailableError
from sagamesh_jetstream.client.memory import MemoryJetStream, MemoryStreams
from sagamesh_operator.adapters import judging_worker
from sagamesh_operator.adapters.judging import WORKER, JudgingProcess, judging
from sagamesh_operator.metrics import OperatorMetrics
from sagamesh_operator.sagas.acceptance import Acceptance, judge
from sagamesh_operator.sagas.reconciler import Reconciler
from support.builders.documents import CHECKOUT
from support.fakes.memory_cluster import MemoryCluster
from support.processes.stage import until

SAGA: dict[str, Any] = yaml.safe_load(CHECKOUT)

STAND_IN = """
import os, pathlib, time
from sagamesh_operator.adapters import judging_worker

def judge(document):
    name = document["metadata"]["name"]
    if name == "hangs":
        time.sleep(1000)
    if name == "dies" or (name == "dies-once" and not pathlib.Path({died!r}).exists()):
        pathlib.Path({died!r}).touch()
        os._exit(1)
    if name == "stumbles":
        raise ZeroDivisionError
    if name == "hungry":
        bytearray(1 << 40)
    return real(document)

real, judging_worker.judge = judging_worker.judge, judge
judging_worker.main()
"""
"""The real process, but for what it makes of specs of these names."""


def named(name: str) -> dict[str, Any]:
    return SAGA | {"metadata": {"name": name, "namespace": "shop"}}


def branched(count: int) -> dict[str, Any]:
    """Of 13 KB, and within every limit of the language: to tell its ways apart would take minutes."""

    def step(name: str, after: list[str], **more: Any) -> dict[str, Any]:
        return {"name": name, "participant": "app", "after": after, "action": {"path": "/"}, "readOnly": True} | more

    def two(name: str) -> list[dict[str, Any]]:
        return [{"event": f"{name}.x", "when": "response.status == 200"}, {"event": f"{name}.y"}]

    numbers = range(count)
    halves = [step(f"{half}{n}", ["order.placed"], emits=two(f"{half}{n}")) for half in "ab" for n in numbers]
    either = [step(f"{end}{n}", [f"a{n}.{end}", f"b{n}.{end}"], join="any") for end in "xy" for n in numbers]
    both = [step(f"both{n}", [f"a{n}.y", f"b{n}.y"]) for n in numbers]
    some = step("some", [f"both{n}.done" for n in numbers], join="any")
    last = [step(f"v{n}", [f"x{n}.done" for n in numbers]) for n in range(3)]
    pivot = step("p", ["some.done", *(f"y{n}.done" for n in range(8))], readOnly=False, pivot=True)
    start = {"participant": "orders", "event": "order.placed"}
    return named("branched") | {"spec": {"start": start, "steps": [*halves, *either, *both, some, *last, pivot]}}


@pytest.fixture
def stand_in(tmp_path: Path) -> tuple[str, ...]:
    return (sys.executable, "-c", STAND_IN.format(died=str(tmp_path / "died")))


def run(scenario: Awaitable[None]) -> None:
    async def whole() -> None:
        await asyncio.wait_for(scenario, 60)

    asyncio.run(whole())


@pytest.mark.parametrize(
    "document",
    [SAGA, named("no_label"), SAGA | {"spec": {**SAGA["spec"], "steps": SAGA["spec"]["steps"][1:]}}],
    ids=["good", "unreadable", "refused"],
)
def test_it_says_what_would_be_said_here(document: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with judging() as process:
            assert await process(document) == judge(document)
            assert await process(SAGA) == judge(SAGA)

    run(scenario())


def test_the_loop_goes_on_while_a_saga_with_too_many_ways_is_judged() -> None:
    async def scenario() -> None:
        turns = 0

        async def go_on() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        async with judging() as process:
            await process(SAGA)
            going = asyncio.create_task(go_on())
            acceptance = await process(branched(13))
            going.cancel()
        assert acceptance.documents == {}
        assert "SM016" in acceptance.reason.split(",")
        assert turns > 100

    run(scenario())


@pytest.mark.parametrize(
    ("name", "reason", "words"),
    [
        ("hangs", "TooExpensive", "over 1s"),
        ("hungry", "TooExpensive", "over 192 MiB of memory"),
        ("dies", "NotChecked", "a fault of the operator"),
        ("stumbles", "NotChecked", "a fault of the operator"),
        ("dies-once", "Accepted", ""),
    ],
)
def test_what_is_too_much_for_it_is_refused_and_the_next_one_is_not(
    stand_in: tuple[str, ...], name: str, reason: str, words: str
) -> None:
    async def scenario() -> None:
        process = JudgingProcess(deadline=1 if name == "hangs" else 50, command=stand_in)
        first, second = await asyncio.gather(process(named(name)), process(named("fine")))
        assert (first.reason, bool(first.documents)) == (reason, reason == "Accepted")
        assert words in first.message
        assert second == judge(named("fine"))
        await process.close()

    run(scenario())


def test_whoever_does_not_wait_for_the_answer_leaves_none_to_the_next_one(stand_in: tuple[str, ...]) -> None:
    async def scenario() -> None:
        process = JudgingProcess(command=stand_in)
        assert await process(named("one")) == judge(named("one"))
        pid = process._process.pid  # type: ignore[union-attr]
        asked = asyncio.create_task(process(named("hangs")))
        await until(lambda: process._process is None)
        asked.cancel()
        assert await process(named("two")) == judge(named("two"))
        assert process._process.pid != pid  # type: ignore[union-attr]
        await process.close()

    run(scenario())


def test_it_ends_with_whoever_uses_it() -> None:
    async def scenario() -> None:
        async with judging() as process:
            await process(SAGA)
            running = process._process
            assert running is not None
            assert running.returncode is None
        assert running.returncode is not None
        async with judging():
            pass

    run(scenario())


def test_it_ends_when_whoever_used_it_was_killed() -> None:
    async def scenario() -> None:
        pipe = asyncio.subprocess.PIPE
        worker = await asyncio.create_subprocess_exec(*WORKER, stdin=pipe, stdout=pipe)
        said, _ = await worker.communicate(b"")
        assert (worker.returncode, said) == (0, b"")

    run(scenario())


def test_where_no_process_can_be_had_it_is_tried_again() -> None:
    async def scenario() -> None:
        with pytest.raises(UnavailableError, match="no process for checking sagas"):
            await JudgingProcess(command=("/nowhere",))(SAGA)

    run(scenario())


def test_questions_and_answers_follow_one_another() -> None:
    asked = [msgspec.json.encode(document) for document in (SAGA, named("no_label"))]
    said = BytesIO()
    judging_worker.serve(BytesIO(b"".join(judging_worker.LENGTH.pack(len(each)) + each for each in asked)), said)
    said.seek(0)
    for document in (SAGA, named("no_label")):
        (length,) = judging_worker.LENGTH.unpack(said.read(4))
        assert msgspec.json.decode(said.read(length), type=Acceptance) == judge(document)
    assert said.read() == b""


def test_while_one_saga_hangs_others_go_on_and_it_is_not_tried_again(stand_in: tuple[str, ...]) -> None:
    async def scenario() -> None:
        process, judged = JudgingProcess(deadline=2, command=stand_in), []

        async def noted(document: Mapping[str, Any]) -> Acceptance:
            judged.append(document["metadata"]["name"])
            return await process(document)

        cluster = MemoryCluster()
        operator = Reconciler(
            MemoryJetStream(MemoryStreams()), cluster, OperatorMetrics(), installation="ours", judge=noted
        )
        cluster.watched = operator.told
        operator.connected()
        running = asyncio.create_task(operator.run())
        cluster.apply("before")
        await until(shows(cluster, "before", "True", "Accepted"))
        cluster.apply("hangs")
        await until(lambda: "hangs" in judged)
        cluster.delete("before")
        await until(lambda: all(key.saga != "before" for key in operator.records._records))
        assert cluster.condition("hangs", "Accepted") == ("", ""), "it still hangs, and the other one is gone"
        cluster.apply("after")
        await until(shows(cluster, "after", "True", "Accepted"))
        await until(shows(cluster, "hangs", "False", "TooExpensive"))
        await operator._look(repair=True)
        await until(lambda: len(operator._queue) == 0)
        assert judged.count("hangs") == 1
        cluster.apply("hangs")  # another generation
        await until(lambda: judged.count("hangs") == 2)
        running.cancel()
        await asyncio.wait([running])
        await process.close()

    run(scenario())


def shows(cluster: MemoryCluster, name: str, *wanted: str) -> Callable[[], bool]:
    return lambda: cluster.condition(name, "Accepted") == wanted
