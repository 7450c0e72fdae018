"""Sagas with hundreds of steps side by side, on a real server: nobody asks for more at once than NATS and app bear."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from sagamesh.language.model import Action, Compensation, Emit, Saga, StartSpec, Step
from sagamesh_cli.local.mesh import MeshOptions, running
from support.fakes.scripted_app import Call, ScriptedApp, http, serving
from support.processes.command import Apis

STEPS = 500
"""The most that a saga may have."""
PARTICIPANTS = ("one", "two")


def root(number: int) -> Step:
    return Step(
        name=f"r{number}",
        participant=PARTICIPANTS[number % 2],
        after=("go",),
        action=Action(path="/no" if number == STEPS - 1 else "/ok"),
        emits=(Emit(event=f"r{number}.done"),),
        compensation=Compensation(path="/undo"),
    )


WIDE = Saga(
    namespace="default",
    name="wide",
    start=StartSpec(participant="one", event="go"),
    steps=tuple(map(root, range(STEPS))),
)


class Trial(Apis):
    """The saga with its two sidecars, in this process, and one app that knows how many calls it has at once."""

    def __init__(self) -> None:
        self.app = ScriptedApp(self._answer)
        self.at_once = self.most = 0

    async def _answer(self, call: Call) -> bytes:
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        return http(422 if call.path == "/no" else 200)


def test_five_hundred_steps_at_once_are_undone_on_one_connection(caplog: pytest.LogCaptureFixture) -> None:
    async def play() -> Any:
        on = Trial()
        async with serving(on.app):
            options = MeshOptions(files=[], apps=dict.fromkeys(PARTICIPANTS, on.app.url))
            async with running(options, [WIDE], lambda *_: None) as built:
                on.listens = built.listens()
                answer = await on.start("one", "go", {})
                assert answer.status == 202, answer.text
                found: Any = {}
                while not found.get("finished"):
                    found = await on.get("two", "wide", "1", "?wait=20s")
        return found, on

    with caplog.at_level(logging.WARNING, "sagamesh_jetstream"):
        found, on = asyncio.run(asyncio.wait_for(play(), 100))
    assert found["state"] == "compensated"
    assert [step["state"] for step in found["steps"]] == ["compensated"] * STEPS
    assert [record.getMessage() for record in caplog.records if record.name.startswith("sagamesh_jetstream")] == []
    assert on.most <= 2 * 32
