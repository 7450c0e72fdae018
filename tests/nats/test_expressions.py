"""Expressions that cannot be evaluated, on a real server: nothing hangs, nothing is undone that need not be.

The sagas are those that the checks refuse, or whose events are unlike what their authors meant.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import yaml

from sagamesh.language import spec
from sagamesh_cli.local.mesh import MeshOptions, running
from support.fakes.scripted_app import Call, ScriptedApp, http, serving
from support.processes.command import Apis
from support.processes.shared import PlayOn, shared

HEAD = """
apiVersion: sagamesh.dev/v1alpha1
kind: Saga
metadata: {{name: {name}}}
spec:
  start: {{participant: one, event: {name}.go, key: event.data.key}}
  parkAfter: 1s
  steps:
"""
SAGAS = {
    "lost-result": """
    - {name: room, participant: one, after: [lost-result.go], action: {path: /ok}, compensation: {path: /undo}}
    - name: book
      participant: two
      after: [room.done]
      action: {path: /no}
      compensation: {path: /undo, body: '{"reservation": result.reservationId}'}
""",
    "empty-result": """
    - name: room
      participant: one
      after: [empty-result.go]
      action: {path: /empty}
      compensation: {path: /undo, body: '{"reservation": result.reservationId}'}
    - {name: book, participant: two, after: [room.done], action: {path: /no}, compensation: {path: /undo}}
""",
    "pivot-body": """
    - {name: reserve, participant: two, after: [pivot-body.go], action: {path: /ok}, compensation: {path: /undo}}
    - name: charge
      participant: two
      after: [reserve.done]
      pivot: true
      action:
        path: /charge
        body: '{"of": events["pivot-body.go"].data.total, "with": events["pivot-body.go"].data.coupon}'
    - {name: ship, participant: two, after: [charge.done], action: {path: /ok}}
""",
    "pivot-emits": """
    - {name: reserve, participant: two, after: [pivot-emits.go], action: {path: /ok}, compensation: {path: /undo}}
    - name: charge
      participant: two
      after: [reserve.done]
      pivot: true
      action: {path: /charge}
      emits: [{event: fine, when: response.body.status == "ok"}, {event: not-fine}]
    - {name: ship, participant: two, after: [fine], action: {path: /ok}}
    - {name: tell, participant: two, after: [not-fine], action: {path: /tell}}
""",
    "big-order": """
    - {name: reserve, participant: one, after: [big-order.go], action: {path: /ok}, compensation: {path: /undo}}
    - name: check
      participant: two
      after: [reserve.done]
      when: events["big-order.go"].data.order.items > 0.0
      action: {path: /check, body: '{"order": events["big-order.go"].data.order, "items": 1.0}'}
      compensation: {path: /undo}
""",
    "big-number": """
    - name: look
      participant: two
      after: [big-number.go]
      when: event.data.token > 50.0
      action: {path: /ok}
      compensation: {path: /undo}
""",
    "unseen": """
    - name: w
      participant: two
      after: [unseen.go]
      when: event.data.total > 50.0
      action: {path: /ok}
      compensation: {path: /undo}
""",
    "parked": """
    - {name: charge, participant: two, after: [parked.go], pivot: true, action: {path: /ok}}
    - name: ship
      participant: two
      after: [charge.done]
      action: {path: /ok, body: '{"to": events["parked.go"].data.to}'}
""",
}
ANSWERS = {"/no": http(422, b'{"detail": "no room"}'), "/empty": http(204, b"")}
WEI, TOKEN = 1500000000000000000001, 12345678901234567891234


class Trial(Apis):
    """All of these sagas with their two sidecars, in this process, and one app."""

    def __init__(self) -> None:
        self.app = ScriptedApp(self._answer)

    async def _answer(self, call: Call) -> bytes:
        return ANSWERS.get(call.path, http(200, b"{}"))

    async def begin(self, saga: str, key: str, **data: object) -> None:
        answer = await self.start("one", f"{saga}.go", {"key": key, **data})
        assert answer.status == 202, answer.text

    async def ended(self, saga: str, key: str) -> Any:
        found = await self.get("two", saga, key, "?wait=20s")
        assert found["finished"], found
        return found

    def bodies(self, key: str, path: str) -> list[Any]:
        """Of each call, however often it was repeated."""
        calls = [call for call in self.app.calls if call.instance == key and call.path == path]
        return [*{call.headers["idempotency-key"]: call.data for call in calls}.values()]


@contextlib.asynccontextmanager
async def trial() -> AsyncIterator[Trial]:
    on = Trial()
    sagas = [spec.read(yaml.safe_load(HEAD.format(name=name) + steps)) for name, steps in SAGAS.items()]
    async with serving(on.app):
        options = MeshOptions(files=[], apps=dict.fromkeys(("one", "two"), on.app.url))
        async with running(options, sagas, lambda *_: None) as built:
            on.listens = built.listens()
            yield on


@pytest.fixture(scope="module")
def play() -> Iterator[PlayOn[Trial]]:
    with shared(trial(), 60) as play:
        yield play


@pytest.mark.parametrize("saga", ["lost-result", "empty-result"])
def test_a_compensation_whose_body_fails_is_called_with_the_default_one(saga: str, play: PlayOn[Trial]) -> None:
    async def scenario(on: Trial) -> None:
        await on.begin(saga, saga)
        found = await on.ended(saga, saga)
        assert (found["state"], found["parked"]) == ("compensated", False)
        undone = on.bodies(saga, "/undo")
        assert [body["result"] for body in undone] == ([None, {}] if saga == "lost-result" else [None, None])
        assert {body["cause"]["reason"] for body in undone} == {"no room"}
        assert {call.headers["saga-step"] for call in on.app.calls if call.path == "/undo"} >= {"room", "book"}

    play(scenario)


def test_a_pivot_whose_body_fails_is_never_called_and_the_saga_is_undone(play: PlayOn[Trial]) -> None:
    async def scenario(on: Trial) -> None:
        await on.begin("pivot-body", "a", total=5)
        found = await on.ended("pivot-body", "a")
        assert found["state"] == "compensated"
        reason = 'there is no events["pivot-body.go"].data.coupon'
        assert found["cause"] == {"kind": "expression", "step": "charge", "reason": found["cause"]["reason"]}
        assert found["cause"]["reason"].endswith(reason)
        assert on.app.paths("a") == ["/ok", "/undo"]

    play(scenario)


def test_a_pivot_s_big_number_that_is_only_carried_reaches_the_app_exactly(play: PlayOn[Trial]) -> None:
    async def scenario(on: Trial) -> None:
        await on.begin("pivot-body", "b", total=5, coupon=TOKEN, token=TOKEN)
        assert (await on.ended("pivot-body", "b"))["state"] == "completed"
        assert on.bodies("b", "/charge") == [{"of": 5, "with": TOKEN}]

    play(scenario)


def test_a_pivot_whose_emits_fail_is_called_once_and_announces_the_last(play: PlayOn[Trial]) -> None:
    async def scenario(on: Trial) -> None:
        await on.begin("pivot-emits", "e", total=5)
        assert (await on.ended("pivot-emits", "e"))["state"] == "completed"
        assert on.app.paths("e") == ["/ok", "/charge", "/tell"]

    play(scenario)


def test_what_no_expression_looks_at_harms_nobody_and_is_carried_as_it_came(play: PlayOn[Trial]) -> None:
    async def scenario(on: Trial) -> None:
        order = {"items": 2, "amountWei": WEI, "notes": "n" * 110_000}
        await on.begin("big-order", "w", order=order)
        await on.begin("unseen", "token", total=60, token=TOKEN)
        await on.begin("unseen", "nul", total=60, note="a\0b")
        assert (await on.ended("big-order", "w"))["state"] == "completed"
        assert on.bodies("w", "/check") == [{"order": order, "items": 1}]
        for key in ("token", "nul"):
            assert (await on.ended("unseen", key))["state"] == "completed"
            assert on.app.paths(key) == ["/ok"]

    play(scenario)


def test_what_is_looked_at_and_cannot_be_read_fails_and_is_named_without_its_value(play: PlayOn[Trial]) -> None:
    async def scenario(on: Trial) -> None:
        await on.begin("big-number", "n", token=TOKEN, notes="n" * 110_000)
        found = await on.ended("big-number", "n")
        assert found["state"] == "compensated"
        reason = "event.data.token > 50.0: event.data.token is too large for an expression"
        assert found["cause"] == {"kind": "expression", "step": "look", "reason": reason}

    play(scenario)


def test_a_retriable_step_parks_and_says_that_only_people_can_help(play: PlayOn[Trial]) -> None:
    async def scenario(on: Trial) -> None:
        await on.begin("parked", "p")
        async with asyncio.timeout(20):
            while not (found := await on.get("two", "parked", "p"))["parked"]:
                await asyncio.sleep(0.05)
        [ship] = [step for step in found["steps"] if step["name"] == "ship"]
        assert ship["calls"] == 0
        assert 'there is no events["parked.go"].data.to; trying again will not help' in ship["reason"]

    play(scenario)
