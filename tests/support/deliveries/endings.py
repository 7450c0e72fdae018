"""What comes last in a run: one thing, at rest, which must go as it should."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from support.deliveries.world import World

Ending = Callable[["World"], Awaitable[None]]


async def nothing(world: World) -> None:
    """It goes right through."""
    world.start()
    await asyncio.sleep(30.0)
    if world.unfinished:
        world.witness.blame("an instance takes more than 30 s, and nothing goes wrong")


ENDINGS: tuple[Ending, ...] = (nothing,)
