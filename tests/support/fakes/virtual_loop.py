"""asyncio without a clock and without I/O: time passes when nobody has anything to do, and chance says who comes first.

One seed, one run, in no time. Whatever asks another clock than the loop's, or another chance, breaks that. What belongs
to a `VirtualProcess` can stand still, for a while or for ever, as a process does that is stopped or killed.
"""

from __future__ import annotations

import asyncio
import heapq
from asyncio import Handle, TimerHandle
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from random import Random
from typing import Any, TypeVar

Result = TypeVar("Result")


class VirtualProcess:
    """Whatever is begun in its `context` is its own, and what begins in that, too."""

    def __init__(self) -> None:
        self.context = copy_context()
        self.context.run(_PROCESS.set, self)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        self._loop = loop

    @property
    def stands_still(self) -> bool:
        return self in self._loop.stopped

    def stop(self) -> None:
        """Nothing of it is called any more. It does not get to know."""
        self._loop.stopped.setdefault(self, [])

    def go_on(self) -> None:
        """It goes on where it stopped, and time has passed."""
        self._loop.go_on(self)


_PROCESS: ContextVar[VirtualProcess | None] = ContextVar("process", default=None)


class _Held(Handle):
    """Is called, unless its process stands still."""

    __slots__ = ()

    def _run(self) -> None:
        process: VirtualProcess | None = self._context.get(_PROCESS)  # type: ignore[attr-defined]
        stopped = self._loop.stopped  # type: ignore[attr-defined]
        if process is not None and process in stopped:
            stopped[process].append(self)
        else:
            super()._run()


class _HeldTimer(_Held, TimerHandle):
    __slots__ = ()


class VirtualLoop(asyncio.BaseEventLoop):
    """`time()` begins at 0, and jumps to the next timer. Of the callbacks that are ready, the order is drawn."""

    def __init__(self, chance: Random) -> None:
        super().__init__()
        self._chance = chance
        self._passed = 0.0
        self._clock_resolution = 1e-9
        self._selector = self
        self.stopped: dict[VirtualProcess, list[Handle]] = {}
        """Who stands still, and what would have been called meanwhile."""

    def time(self) -> float:
        return self._passed

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> TimerHandle:
        timer = _HeldTimer(when, callback, args, self, context)
        heapq.heappush(self._scheduled, timer)
        timer._scheduled = True
        return timer

    def _call_soon(self, callback: Callable[..., object], args: Any, context: Context | None) -> Handle:
        handle = _Held(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def go_on(self, process: VirtualProcess) -> None:
        """Call what is left of it after all, but what was cancelled meanwhile."""
        self._ready.extend(self.stopped.pop(process, ()))

    def select(self, timeout: float | None) -> list[object]:
        """What BaseEventLoop asks when it would wait for I/O, of which there is none."""
        if timeout is None:
            raise RuntimeError("nobody is ready, and nobody waits for a time: this would stand still for ever")
        self._passed += max(0.0, timeout)
        return []

    def _process_events(self, _: list[object]) -> None:
        if len(self._ready) > 1:
            ready = list(self._ready)
            self._chance.shuffle(ready)
            self._ready.clear()
            self._ready.extend(ready)

    def _write_to_self(self) -> None:
        """There is no other thread to wake this one."""


def play(chance: Random, scenario: Coroutine[Any, Any, Result]) -> Result:
    """Run a scenario to its end, and cancel what it leaves behind."""
    loop = VirtualLoop(chance)
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(scenario)
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        for process in tuple(loop.stopped):
            loop.go_on(process)
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        asyncio.set_event_loop(None)
        loop.close()
