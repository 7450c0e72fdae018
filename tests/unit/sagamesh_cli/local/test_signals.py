"""What the signals do to a command that runs for long: all the same, but for the end of a terminal under `nohup`."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest

from sagamesh_cli.local.signals import interruptible, on_signals


@pytest.fixture(autouse=True)
def _as_in_a_terminal() -> Iterator[None]:
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_every_signal_counts_as_ctrl_c_after_everything_is_put_away(number: int) -> None:
    done = []

    async def command() -> None:
        try:
            os.kill(os.getpid(), number)
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            done.append("put away")

    with pytest.raises(KeyboardInterrupt):
        interruptible(command())
    assert done == ["put away"]


def test_what_comes_to_an_end_by_itself_is_returned() -> None:
    async def command() -> str:
        return "done"

    assert interruptible(command()) == "done"


def test_under_nohup_the_end_of_the_terminal_is_nothing() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

    async def command() -> list[int]:
        heard: list[int] = []
        terminated = asyncio.Event()
        on_signals(lambda: (heard.append(1), terminated.set()))
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGTERM)
        await terminated.wait()
        return heard

    assert asyncio.run(command()) == [1]
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
