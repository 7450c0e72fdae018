"""Looks at instances: once, or again and again until one is finished. `routes` answers with what is seen here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

from sagamesh.errors import UnavailableError
from sagamesh.log.registers import START, Instance, Register
from sagamesh.protocol.view.instance import View, finished, view
from sagamesh_sidecar.api.instances import Instances
from sagamesh_sidecar.deliveries.parking import Parking
from sagamesh_sidecar.deliveries.tally import Tally
from sagamesh_sidecar.rules.rulebook import Rulebook

FIRST_PAUSE, LAST_PAUSE = 0.05, 1.0
"""Seconds between looks at an instance that is waited for, growing from the one to the other: short sagas take tens of
milliseconds, and hundreds of clients that wait for long ones cost the log a read a second each."""
LOOKS = 3
"""How often an instance is looked for before it counts as not there: reads may be stale, and it may just be started."""


class Views:
    """The instances of one namespace, as the log and the rules held here show them. `now` is the server's time."""

    def __init__(
        self, instances: Instances, rulebook: Rulebook, parking: Parking, tally: Tally, now: Callable[[], float]
    ) -> None:
        self.instances = instances
        self.rulebook = rulebook
        self.parking = parking
        self.tally = tally
        self.now = now
        self._closing = asyncio.Event()

    def close(self) -> None:
        """End every wait: who waits gets the instance as it stands."""
        self._closing.set()

    async def find(self, instance: Instance) -> tuple[Register, ...]:
        """The registers of an instance, its start among them; none where it is not there. Raises UnavailableError."""
        for turn in range(LOOKS):
            stored = await self.instances.look(instance)
            if any(register.name == START for register in stored):
                return stored
            if turn < LOOKS - 1:
                await self._pause(FIRST_PAUSE)
        return ()

    def show(self, instance: Instance, *looks: Iterable[Register]) -> View | None:
        """A view of what some looks have shown; of a register that was seen twice, the later one counts.

        None: they have shown nothing.
        """
        known = {register.name: register for registers in looks for register in registers}
        if not known:
            return None
        some = next(iter(known.values()))
        rules = self.rulebook.of(instance.saga, some.origin.revision) or self.rulebook.newest(instance.saga)
        if rules is None:
            return None
        return view(
            instance,
            tuple(known.values()),
            rules.local,
            self.now(),
            troubles=self.parking.of(instance),
            calls=self.tally.of(instance),
        )

    async def wait(self, instance: Instance, seconds: float, stored: Sequence[Register] = ()) -> View | None:
        """The instance when it is finished, or as it stands at the end of the wait. None: it could not be read."""
        loop = asyncio.get_running_loop()
        until, pause = loop.time() + seconds, FIRST_PAUSE
        while True:
            seen = self.show(instance, stored)
            left = until - loop.time()
            if (seen and finished(seen)) or left <= 0 or self._closing.is_set():
                return seen
            await self._pause(min(pause, left))
            pause = min(pause * 1.5, LAST_PAUSE)
            try:
                stored = await self.instances.look(instance) or stored
            except UnavailableError:
                continue  # what was seen before is what is known

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._closing.wait()
        except TimeoutError:
            return
