"""One stage for several tests, each of which leaves it as sound as it was: to build one takes longer than a fault."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager

from support.processes.stage import Stage

Scenario = Callable[[Stage], Awaitable[None]]
Play = Callable[[Scenario], None]


@contextlib.contextmanager
def shared(stage: AbstractAsyncContextManager[Stage], seconds: float) -> Iterator[Play]:
    """Plays scenarios on a stage, one after the other, each in bounded time."""

    async def bounded(scenario: Scenario, on: Stage) -> None:
        async with asyncio.timeout(seconds):
            await scenario(on)

    with asyncio.Runner() as runner:
        on = runner.run(_entered(stage))
        try:
            yield lambda scenario: runner.run(bounded(scenario, on))
        finally:
            runner.run(_left(stage))


async def _entered(stage: AbstractAsyncContextManager[Stage]) -> Stage:
    return await stage.__aenter__()


async def _left(stage: AbstractAsyncContextManager[Stage]) -> None:
    await stage.__aexit__(None, None, None)
