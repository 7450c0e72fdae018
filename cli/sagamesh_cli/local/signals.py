"""What Ctrl-C, SIGTERM and the end of the terminal do to a command that runs for long: it puts everything away."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

Returned = TypeVar("Returned")


def interruptible(main: Coroutine[Any, Any, Returned]) -> Returned:
    """Run it. A signal cancels it, so that it puts everything away, and then counts as a Ctrl-C."""

    async def cancelled_by_signals() -> Returned:
        task = asyncio.current_task()
        assert task is not None
        on_signals(task.cancel)
        return await main

    try:
        return asyncio.run(cancelled_by_signals())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def on_signals(call: Callable[[], object]) -> None:
    """What the signals do from now on (the end of the terminal not under `nohup`)."""
    numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        numbers.remove(signal.SIGHUP)
    for number in numbers:
        asyncio.get_running_loop().add_signal_handler(number, call)
