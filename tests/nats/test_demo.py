"""`sagamesh demo`: it ends well with and without a terminal, shows what it does, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import pty
import signal
import threading
import xml.etree.ElementTree as ET
from pathlib import Path

from support.processes.command import Command, relatives
from support.processes.stage import run

ORDERS = 20


def assert_ended_well(said: str) -> None:
    assert f"{ORDERS} of {ORDERS} orders finished" in said, said
    assert "balanced" in said
    assert "the kitchen's service is gone (exit status -9)" in said
    assert "the kitchen's service is back" in said
    assert "the sidecar of accounting is gone (exit status -9)" in said
    assert "the sidecar of accounting is back" in said


def test_without_a_terminal_it_tells_in_lines(tmp_path: Path) -> None:
    async def scenario() -> None:
        with Command(tmp_path, "demo", "--orders", ORDERS, "--svg", "last.svg", TMPDIR=str(tmp_path)) as demo:
            assert await demo.ended(80) == 0
            assert_ended_well(demo.said)
            assert "\x1b" not in demo.said
            assert demo.complained == ""
            told = [line.split()[0] for line in demo.said.splitlines() if line.startswith("o-")]
            assert sorted(told) == sorted(f"o-{n}" for n in range(1, ORDERS + 1))
        root = ET.parse(tmp_path / "last.svg").getroot()
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        text = "".join(root.itertext()).replace("\N{NO-BREAK SPACE}", " ")
        assert f"{ORDERS} of {ORDERS} orders finished" in text
        assert all(mark in text for mark in "✔✘↩")
        assert list(tmp_path.glob("sagamesh-demo-*")) == []

    run(scenario(), 90)


def test_in_a_terminal_it_draws(tmp_path: Path) -> None:
    async def scenario() -> None:
        ours, theirs = pty.openpty()
        os.set_blocking(ours, True)
        with Command(tmp_path, "demo", "--orders", ORDERS, terminal=theirs, TERM="xterm", LINES="40") as demo:
            os.close(theirs)
            drawn = bytearray()
            reader = threading.Thread(target=drain, args=(ours, drawn))
            reader.start()
            assert await demo.ended(80) == 0
            reader.join(10)
        text = drawn.decode(errors="replace")
        assert "Traceback" not in text
        assert_ended_well(text)
        assert text.count("\x1b[1A\x1b[2K") > 100, "it draws over what it drew before"
        assert all(mark in text for mark in "▶✔✘↩")
        assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l"), "the cursor is back"

    run(scenario(), 90)


def drain(terminal: int, into: bytearray) -> None:
    """Read what is drawn, until nobody is there to draw."""
    try:
        while chunk := os.read(terminal, 65536):
            into += chunk
    except OSError:  # this is how the end of a terminal reads
        pass
    finally:
        os.close(terminal)


def test_a_demo_that_is_stopped_leaves_nothing(tmp_path: Path) -> None:
    async def stopped(number: int) -> None:
        with Command(tmp_path, "demo", TMPDIR=str(tmp_path)) as demo:
            await demo.until(lambda: "\no-" in f"\n{demo.said}")
            assert len(relatives(demo.mark)) == 10, "itself, a server, four services, four sidecars"
            demo.send(number)
            assert await demo.ended() == 130

    async def scenario() -> None:
        await asyncio.gather(stopped(signal.SIGINT), stopped(signal.SIGTERM))
        assert list(tmp_path.glob("sagamesh-demo-*")) == []

    run(scenario())


def test_what_it_cannot_do_it_says(tmp_path: Path) -> None:
    async def scenario() -> None:
        with Command(tmp_path, "demo", "--svg", "no/last.svg") as demo:
            assert await demo.ended() == 3
            assert demo.complained == "sagamesh: --svg no/last.svg cannot be written: there is no such directory\n"
            assert demo.said == "", "it was said before the orders came, not after"
        with Command(tmp_path, "demo", "--orders", 0) as demo:
            assert await demo.ended() == 2

    run(scenario())
