"""`sagamesh demo`: it ends well with and without a terminal, shows what it does, and leaves nothing behind.

It is played once, in this process and without a terminal. What it heard is played again where there is one, and a run
that is stopped has a real one.
"""

from __future__ import annotations

import io
import os
import pty
import re
import signal
import tempfile
import threading
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from sagamesh.log.registers import Instance, Register
from sagamesh.rules.local import LocalRules
from sagamesh_cli.commands.here import demo
from sagamesh_cli.commands.here.demo import Demo, DemoEnd
from sagamesh_cli.views.board import Board
from support.processes import in_process
from support.processes.command import Command, relatives
from support.processes.in_process import Ended
from support.processes.stage import run

ORDERS = 20
DRAWN_OVER = "\x1b[1A\x1b[2K"
"""One line up, and what stands there is gone."""
DRAW_EVERY = 10
"""Registers between two drawings, so that most are drawn while something is on its way: to draw takes its time."""


@dataclass(kw_only=True)
class Recording:
    """What a demo's board was told, in order, by which rules; and how the demo ended."""

    events: list[Callable[[Board], None]] = field(default_factory=list)
    rules: list[LocalRules] = field(default_factory=list)
    ends: list[DemoEnd] = field(default_factory=list)

    def into(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Record the demo that is played next."""
        recording, play = self, Demo.run

        class Recorded(Board):
            def __init__(self, rules: LocalRules, console: Any) -> None:
                super().__init__(rules, console)
                recording.rules.append(rules)

            def heard(self, instance: Instance, register: Register) -> None:
                recording.events.append(lambda board: board.heard(instance, register))
                super().heard(instance, register)

            def tell(self, news: str) -> None:
                recording.events.append(lambda board: board.tell(news))
                super().tell(news)

        async def played(self: Demo) -> DemoEnd:
            recording.ends.append(await play(self))
            return recording.ends[0]

        monkeypatch.setattr(demo, "Board", Recorded)
        monkeypatch.setattr(Demo, "run", played)

    def again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let the next demo tell its board the same, which draws itself now and then, and end in the same way."""
        events, [rules], [end] = self.events, self.rules, self.ends

        async def replayed(self: Demo) -> DemoEnd:
            board = Board(rules, self.console)
            with board.showing():
                for number, event in enumerate(events):
                    event(board)
                    if number % DRAW_EVERY == 0:
                        assert board._live is not None
                        board._live.refresh()
            return end

        monkeypatch.setattr(Demo, "run", replayed)


@dataclass(kw_only=True)
class Played:
    """The demo that was played, in a directory that was its working directory and its place for what is temporary."""

    directory: Path
    ended: Ended
    recording: Recording


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    directory, recording = tmp_path_factory.mktemp("demo"), Recording()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(directory))
        recording.into(patch)
        ended = in_process.sagamesh(directory, "demo", "--orders", ORDERS, "--svg", "last.svg")
    return Played(directory=directory, ended=ended, recording=recording)


def assert_ended_well(said: str) -> None:
    assert f"{ORDERS} of {ORDERS} orders finished" in said, said
    assert "balanced" in said
    assert "the kitchen's service is gone (exit status -9)" in said
    assert "the kitchen's service is back" in said
    assert "the sidecar of accounting is gone (exit status -9)" in said
    assert "the sidecar of accounting is back" in said
    assert "Traceback" not in said


def test_without_a_terminal_it_tells_in_lines(played: Played) -> None:
    said = played.ended.said
    assert (played.ended.code, played.ended.complained) == (0, "")
    assert_ended_well(said)
    assert "\x1b" not in said
    told = [line.split()[0] for line in said.splitlines() if line.startswith("o-")]
    assert sorted(told) == sorted(f"o-{n}" for n in range(1, ORDERS + 1))


def test_what_is_heard_twice_is_told_once(played: Played) -> None:
    [rules], told = played.recording.rules, io.StringIO()
    board = Board(rules, Console(file=told))
    for event in played.recording.events * 2:
        event(board)
    lines = [line for line in told.getvalue().splitlines() if line.startswith("o-")]
    assert sorted(lines) == sorted(line for line in played.ended.said.splitlines() if line.startswith("o-"))


def test_what_is_drawn_meanwhile_stays_as_it_is(played: Played) -> None:
    """Another thread draws, and may begin between any two statements."""
    [rules] = played.recording.rules
    board = Board(rules, Console(file=io.StringIO()))
    for event in played.recording.events:
        seen = [(known, len(known)) for known in board.registers.values()]
        event(board)
        assert all(len(known) == many for known, many in seen)
    assert len(board.registers) == ORDERS


def test_the_last_screen_is_drawn_as_a_picture_and_nothing_else_is_left(played: Played) -> None:
    root = ET.parse(played.directory / "last.svg").getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    text = "".join(root.itertext()).replace("\N{NO-BREAK SPACE}", " ")
    assert f"{ORDERS} of {ORDERS} orders finished" in text
    assert all(mark in text for mark in "✔✘↩")
    assert [path.name for path in played.directory.iterdir()] == ["last.svg"]


def test_in_a_terminal_it_draws(played: Played, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    played.recording.again(monkeypatch)
    ended = in_process.sagamesh(tmp_path, "demo", "--orders", ORDERS, FORCE_COLOR="1", TERM="xterm", LINES="40")
    assert (ended.code, ended.complained) == (0, "")
    assert_ended_well(ended.said)
    assert ended.said.count(DRAWN_OVER) > 100, "it draws over what it drew before"
    assert all(mark in ended.said for mark in "▶✔✘↩")
    assert_cursor_is_back(ended.said)


def assert_cursor_is_back(text: str) -> None:
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")


def test_a_demo_that_is_stopped_in_a_terminal_leaves_nothing(tmp_path: Path) -> None:
    """Which signal it was does not matter: tests/unit/sagamesh_cli/local/test_signals.py."""

    many = ("demo", "--orders", 1000)  # nothing is killed before the first hundreds have come

    async def scenario() -> None:
        ours, theirs = pty.openpty()
        os.set_blocking(ours, True)
        with Command(tmp_path, *many, terminal=theirs, TERM="xterm", LINES="40", TMPDIR=str(tmp_path)) as demo:
            os.close(theirs)
            drawn = bytearray()
            reader = threading.Thread(target=drain, args=(ours, drawn))
            reader.start()
            await demo.until(lambda: drawing(drawn), 40)
            assert len(relatives(demo.mark)) == 10, "itself, a server, four services, four sidecars"
            demo.send(signal.SIGINT)
            assert await demo.ended() == 130
            reader.join(10)
        text = drawn.decode()
        assert "Traceback" not in text
        assert all(mark in text for mark in "▶✔")
        assert_cursor_is_back(text)
        assert list(tmp_path.glob("sagamesh-demo-*")) == []

    run(scenario())


def drawing(drawn: bytearray) -> bool:
    """Whether an order is finished, and the board was drawn again and again on the way."""
    text = drawn.decode(errors="ignore")
    return re.search(r"started, [1-9]\d* finished", text) is not None and text.count(DRAWN_OVER) > 100


def drain(terminal: int, into: bytearray) -> None:
    """Read what is drawn, until nobody is there to draw."""
    try:
        while chunk := os.read(terminal, 65536):
            into += chunk
    except OSError:  # this is how the end of a terminal reads
        pass
    finally:
        os.close(terminal)


def test_what_it_cannot_do_it_says(tmp_path: Path) -> None:
    """Before the orders come, not after."""
    sentence = "sagamesh: --svg no/last.svg cannot be written: there is no such directory\n"
    assert in_process.sagamesh(tmp_path, "demo", "--svg", "no/last.svg") == Ended(3, "", sentence)
    assert in_process.sagamesh(tmp_path, "demo", "--orders", 0).code == 2
