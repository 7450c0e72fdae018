"""Sidecars that end by themselves are noticed by whoever looks after them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from sagamesh_cli.local.sidecars import TaskMember
from sagamesh_sidecar.settings import SidecarSettings


def test_a_sidecar_that_ends_by_itself() -> None:
    async def play() -> None:
        member = TaskMember(SidecarSettings(namespace="shop", participant="orders"))
        broken = asyncio.Event()

        async def run(_stop: asyncio.Event, ready: Callable[[], None]) -> None:
            await broken.wait()
            raise ZeroDivisionError

        member.check()  # not started yet
        member._task = asyncio.create_task(run(member._stop, lambda: None))
        member.check()
        broken.set()
        await asyncio.wait({member._task})
        with pytest.raises(ZeroDivisionError):
            member.check()

    asyncio.run(play())
