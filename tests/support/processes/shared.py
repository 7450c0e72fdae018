"""One stage for several tests, or one of anything: each leaves it as sound as it was, for to build it takes long."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

from support.processes.stage import Stage

On = TypeVar("On")
PlayOn = Callable[[Callable[[On], Awaitable[None]]], None]
"""Plays a scenario on what it is shared on."""
Scenario = Callable[[Stage], Awaitable[None]]
Play = PlayOn[Stage]


@contextlib.contextmanager
def shared(stage: AbstractAsyncContextManager[On], seconds: float) -> Iterator[PlayOn[On]]:
    """Plays scenarios on a stage, one after the other, each in bounded time."""

    async def bounded(scenario: Callable[[On], Awaitable[None]], on: On) -> None:
        async with asyncio.timeout(seconds):
            await scenario(on)

    with asyncio.Runner() as runner:
        on = runner.run(_entered(stage))
        try:
            yield lambda scenario: runner.run(bounded(scenario, on))
        finally:
            runner.run(_left(stage))


async def _entered(stage: AbstractAsyncContextManager[On]) -> On:
    return await stage.__aenter__()


async def _left(stage: AbstractAsyncContextManager[On]) -> None:
    await stage.__aexit__(None, None, None)
