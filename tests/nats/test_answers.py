"""What an app answers, on a real server: slips in paths, mistakes of wiring, a framework's refusals, chosen events."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from sagamesh_cli.local.mesh import MeshOptions, read_sagas, running
from support.fakes.scripted_app import Call, ScriptedApp, http, serving
from support.processes.command import Apis
from support.processes.shared import PlayOn, shared

SAGA = """
apiVersion: sagamesh.dev/v1alpha1
kind: Saga
metadata: {name: slots}
spec:
  parkAfter: 300ms
  start: {participant: shop, event: asked, key: event.data.id}
  steps:
    - name: reserve
      participant: shop
      after: [asked]
      action: {path: /slots/reserve}
      compensation: {path: /slots/relaese}
    - name: book
      participant: worker
      after: [reserve.done]
      action: {path: /book, timeout: 1s, within: 1s, retry: {backoff: 50ms, maxBackoff: 200ms}}
      emits: [{event: picked.a, when: response.status == 299}, {event: picked.b}]
      compensation: {path: /unbook}
---
apiVersion: sagamesh.dev/v1alpha1
kind: Saga
metadata: {name: beside}
spec:
  start: {participant: shop, event: walked.by, key: event.data.id}
  steps:
    - {name: greet, participant: worker, after: [walked.by], action: {path: /greet}, compensation: {path: /part}}
"""
NOT_FOUND = http(404, b'{"detail":"Not Found"}', "Content-Type: application/json")
SHUT = http(503, b'{"detail":"no database"}', "Retry-After: 1")
VAST = http(200, b"<html>" + b"x" * 900_000)
FAULTS = [{"type": "missing", "loc": ["body", "amount"], "msg": "Field required", "input": {"card": "4111"}}]
CHOSEN = {"specversion": "1.0", "id": "1", "source": "/book", "type": "picked.b", "data": {"seat": 7}}
BOOKED = {
    "slip": http(422, b'{"detail":"no"}'),
    "unauthorized": http(401, b'{"detail":"Not authenticated"}'),
    "moved": http(307, b"", "Location: /book/"),
    "fastapi": http(422, json.dumps({"detail": FAULTS}).encode()),
    "vast": http(422, b'{"detail":"no"}'),
    "nested": http(422, b'{"detail":' * 60 + b"{}" + b"}" * 60, "Content-Type: application/json"),
    "secret": http(200, b'{"card":"4111-1111","score":NaN}', "Content-Type: application/json"),
    "chosen": http(200, b"\xef\xbb\xbf{}", 'ce-type: "picked.b"'),
    "structured": http(200, json.dumps(CHOSEN).encode(), "Content-Type: application/cloudevents+json"),
}


class Slots(Apis):
    """The saga with its two sidecars, in this process, and an app whose router knows no /slots/relaese."""

    def __init__(self) -> None:
        self.app = ScriptedApp(self._answer)
        self.mended: set[str] = set()

    async def _answer(self, call: Call) -> bytes:
        if call.instance not in self.mended:
            if call.path == "/slots/relaese":
                return VAST if call.instance == "vast" else NOT_FOUND
            if call.path == "/book" and call.instance.startswith("shut"):
                return SHUT
            if call.path == "/book":
                return BOOKED[call.instance]
        return http(200)

    async def begin(self, instance: str) -> None:
        event = "walked.by" if instance.startswith("by") else "asked"
        answer = await self.start("shop", event, {"id": instance})
        assert answer.status == 202, answer.text

    async def until(self, who: str, instance: str, member: str, value: object) -> Any:
        """The instance, once it looks so at a participant."""
        async with asyncio.timeout(30):
            while (found := await self.get(who, "slots", instance))[member] != value:
                await asyncio.sleep(0.05)
        return found


@contextlib.asynccontextmanager
async def slots(directory: Path) -> AsyncIterator[Slots]:
    file = directory / "saga.yaml"
    file.write_text(SAGA)
    on = Slots()
    async with serving(on.app):
        options = MeshOptions(files=[str(file)], apps=dict.fromkeys(("shop", "worker"), on.app.url))
        async with running(options, read_sagas(options.files), lambda *_: None) as built:
            on.listens = built.listens()
            yield on


@pytest.fixture(scope="module")
def play(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlayOn[Slots]]:
    """One server for all, whose instances have names of their own."""
    with shared(slots(tmp_path_factory.mktemp("slots")), 60) as play:
        yield play


def reason(found: Any, step: str) -> str:
    return next(str(each["reason"]) for each in found["steps"] if each["name"] == step)


def test_a_slip_in_a_compensation_s_path_parks_the_saga_and_names_the_path(
    play: PlayOn[Slots], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)

    async def scenario(on: Slots) -> None:
        await on.begin("slip")
        found = await on.until("shop", "slip", "parked", True)
        assert found["state"] == "aborting"
        assert found["finished"] is None
        said = "POST /slots/relaese answered 404: is the path right? It says: Not Found"
        assert reason(found, "reserve") == said
        assert on.app.paths("slip").count("/slots/relaese") > 1
        told = [vars(record) for record in caplog.records if record.getMessage() == "a mistake of wiring"]
        assert (told[0]["instance"], told[0]["step"], told[0]["failures"]) == ("slip", "reserve", 1), "at once"
        assert {one["reason"] for one in told} == {said}
        on.mended.add("slip")
        assert (await on.until("shop", "slip", "state", "compensated"))["cause"]["reason"] == "no"

    play(scenario)


@pytest.mark.parametrize(
    ("instance", "said"),
    [
        ("unauthorized", "POST /book answered 401: Not authenticated"),
        ("moved", "POST /book answered 307, Location: /book/"),
    ],
)
def test_a_mistake_of_wiring_is_told_and_called_again_until_within(
    play: PlayOn[Slots], caplog: pytest.LogCaptureFixture, instance: str, said: str
) -> None:
    caplog.set_level(logging.WARNING)

    async def scenario(on: Slots) -> None:
        await on.begin(instance)
        found = await on.until("worker", instance, "outcome", "aborted")
        assert found["cause"] == {"kind": "refused", "reason": said, "step": "book"}
        assert on.app.paths(instance).count("/book") > 1
        assert "/book/" not in on.app.paths(instance)
        told = [vars(record)["reason"] for record in caplog.records if record.getMessage() == "a mistake of wiring"]
        assert said in told
        on.mended.add(instance)
        await on.until("shop", instance, "state", "compensated")

    play(scenario)


def test_a_framework_s_own_refusal_names_the_field(play: PlayOn[Slots]) -> None:
    async def scenario(on: Slots) -> None:
        await on.begin("fastapi")
        found = await on.until("worker", "fastapi", "outcome", "aborted")
        assert found["cause"] == {"kind": "refused", "reason": "body.amount: Field required", "step": "book"}
        on.mended.add("fastapi")
        await on.until("shop", "fastapi", "state", "compensated")
        undo = next(call for call in on.app.calls if (call.instance, call.path) == ("fastapi", "/unbook"))
        assert undo.data["cause"]["reason"] == "body.amount: Field required"

    play(scenario)


def test_a_path_that_says_503_holds_up_nobody_who_calls_another_of_its_app(
    play: PlayOn[Slots], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    shut, by = [f"shut-{number}" for number in range(40)], [f"by-{number}" for number in range(20)]

    async def scenario(on: Slots) -> None:
        for instance in shut:
            await on.begin(instance)
        said = "POST /book answered 503: no database"
        for instance in shut:
            assert reason(await on.until("worker", instance, "parked", True), "book") == said
        called = len([call for call in on.app.calls if call.path == "/book"])
        async with asyncio.timeout(20):
            for instance in by:
                await on.begin(instance)
            for instance in by:
                found = await on.get("worker", "beside", instance, "?wait=15s")
                assert found["state"] == "completed", "it calls another path of the same app"
        assert len([call for call in on.app.calls if call.path == "/book"]) <= called + 25, "of all who wait one asks"
        assert reason(await on.get("worker", "slots", shut[0]), "book") == said
        told = [vars(one)["reason"] for one in caplog.records if one.getMessage() == "the app is away at a path"]
        assert set(told) == {said}
        assert len(told) <= 10, "of all who wait"
        assert "the app is away" not in {record.getMessage() for record in caplog.records}
        on.mended |= {*shut}
        for instance in shut:
            await on.until("worker", instance, "state", "completed")

    play(scenario)


def test_an_answer_nested_as_deep_as_may_be_is_told_like_any_without_words(play: PlayOn[Slots]) -> None:
    async def scenario(on: Slots) -> None:
        await on.begin("nested")
        found = await on.until("worker", "nested", "outcome", "aborted")
        said = "POST /book answered 422 (application/json)"
        assert found["cause"] == {"kind": "refused", "reason": said, "step": "book"}
        on.mended.add("nested")
        await on.until("shop", "nested", "state", "compensated")

    play(scenario)


def test_what_a_success_says_reaches_nobody_by_a_reason(play: PlayOn[Slots]) -> None:
    async def scenario(on: Slots) -> None:
        await on.begin("secret")
        found = await on.until("worker", "secret", "outcome", "aborted")
        assert found["cause"]["reason"].endswith("invalid character (byte 28) (application/json)")
        assert found["cause"]["kind"] == "unknown"
        on.mended.add("secret")
        await on.until("shop", "secret", "state", "compensated")

    play(scenario)


def test_a_compensation_that_answers_200_is_done_however_much_it_has_to_say(play: PlayOn[Slots]) -> None:
    async def scenario(on: Slots) -> None:
        await on.begin("vast")
        await on.until("shop", "vast", "state", "compensated")
        # Once, or a second time at the same moment: on behalf of the notice, and of the step behind it.
        assert on.app.paths("vast").count("/slots/relaese") in (1, 2)

    play(scenario)


@pytest.mark.parametrize("instance", ["chosen", "structured"])
def test_an_event_is_chosen_by_a_quoted_type_and_by_a_structured_event(play: PlayOn[Slots], instance: str) -> None:
    async def scenario(on: Slots) -> None:
        await on.begin(instance)
        found = await on.until("worker", instance, "state", "completed")
        assert [step["event"] for step in found["steps"]] == ["reserve.done", "picked.b"]
        assert on.app.paths(instance).count("/book") == 1

    play(scenario)
