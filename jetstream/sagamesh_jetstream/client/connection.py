"""One client of NATS, replaced when it dies. Knows nothing of streams: its parts do, which move to each new client.

A client is dead when its reading task has ended, when it is closed, or when two requests in a row brought nothing at
all. `is_connected` of nats-py says nothing: it stays true while nobody reads. All that is used of nats-py and not
public stands at the end of this module, and `tests/nats` guards it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import nats.errors
from nats.aio.client import Client

from sagamesh.errors import UnavailableError
from sagamesh_jetstream.client import login

logger = logging.getLogger(__name__)

FIRST_DELAY, MAX_DELAY = 0.2, 2.0
"""Seconds between a client's death and the next one, doubling while none lives, with jitter: a server that restarts
is soon back, and one that stays away is not worth more than a try every two seconds."""
CLOSE_TIMEOUT = 5.0
"""Seconds that a client may take to end: as long as a reply, for which a deaf one would wait."""
REMEMBERED = 65.0
"""Seconds for which a refusal is news: what is asked most rarely, the time, is asked once a minute."""
MISSED_PROBES = 2
"""Probes in a row without any traffic, after which a client counts as deaf: one alone may have met a busy server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How patient to be, in seconds.

    A cluster that has lost a leader answers again after four to eight: `reply` is the middle of that, since a request
    whose result is unknown is sent again. What asks for signs of life is a fraction of the ten seconds of a lease.
    """

    start: float = 2.0  # how long `start` waits for a server, before it leaves that to the background
    connect: float = 5.0  # to one server, its login included; as long as a reply may take
    reply: float = 5.0  # of one request; afterwards its result is unknown
    watch: float = 2.0  # between two looks at the client; one that brought nothing for `reply` is probed
    ping: float = 5.0  # nats-py's own probe: two of them may be unanswered
    heartbeat: float = 5.0  # between two signs of life of an open pull; the server takes up to half of `expires`
    expires: float = 30.0  # of one pull: rare enough to cost nothing


class Part(Protocol):
    """What lives on the connection, over all its clients."""

    async def opened(self, client: Client) -> None:
        """There is a new client: subscribe. May raise what nats-py raises."""
        ...

    def lost(self) -> None:
        """The client is gone, and with it all that it was to bring."""
        ...


Probe = Callable[[], Awaitable[bool]]
"""Sends a request and waits for its reply, or in vain; False: there is nothing that could be asked."""


class NatsConnection:
    """Keeps a client alive between `start` and `close`."""

    def __init__(
        self,
        url: str,
        probe: Probe,
        *,
        name: str,
        timing: Timing,
        first_login: Mapping[str, Any],
        directory: str = "",
        spared: str = "",
    ) -> None:
        """`directory`: of the files of `sagamesh_jetstream.client.login`, or empty.

        `spared`: subjects that begin so may be refused, and that is no fault.
        """
        self._directory = directory
        self.locked_out = ""
        """Why the login is not taken, or cannot be used; empty: that is not what is wrong."""
        self._spared = f'"{spared.lower()}' if spared else ""
        self._options = {
            **first_login,
            "servers": url.split(","),
            "name": name,
            "error_cb": self._on_error,
            "allow_reconnect": False,
            "max_reconnect_attempts": 1,
            "reconnect_time_wait": FIRST_DELAY,
            "connect_timeout": timing.connect,
            "ping_interval": timing.ping,
            "max_outstanding_pings": 2,
            "pending_size": 0,  # else what was given up as unknown would be sent much later
        }
        self._probe = probe
        self._timing = timing
        self.parts: tuple[Part, ...] = ()
        self._client: Client | None = None
        self._changing = asyncio.Lock()  # while parts move to a client
        self.opened = 0
        """How many clients there were."""
        self._opened = asyncio.Event()
        self._gone = asyncio.Event()
        self._missed = 0
        self._complaints = 0
        self._refused = ("", 0.0)  # what, and until when that is news
        self._said = ""
        self._down = False  # and said so
        self._address = url.rpartition("@")[2]
        self._keeper: asyncio.Task[None] | None = None
        self._burials: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Returns when connected, or after a while: from then on it is tried in the background."""
        self._keeper = asyncio.create_task(self._keep())
        await _within(self._timing.start, self._opened.wait())

    async def close(self) -> None:
        while self._keeper is not None and not self._keeper.done():
            self._keeper.cancel()  # more than once: nats-py swallows a cancel that reaches it while it closes
            await asyncio.wait([self._keeper], timeout=0.1)
        if self._burials:
            await asyncio.wait(self._burials, timeout=2 * CLOSE_TIMEOUT)

    @property
    def connected(self) -> bool:
        return self._client is not None and not _is_dead(self._client) and not self._missed

    @property
    def refused(self) -> str:
        """What the server has lately refused for want of rights. It says so in passing, and never as a reply."""
        what, until = self._refused
        return what if time.monotonic() < until else ""

    @property
    def max_payload(self) -> int | None:
        """The most that the server takes at once, while there is one."""
        return None if self._client is None else int(self._client.max_payload)

    async def attach(self, part: Part) -> None:
        """Let a part live here, from now on."""
        async with self._changing:
            self.parts += (part,)
            if self._client is not None:
                with contextlib.suppress(nats.errors.Error, OSError):  # it dies just now: the next one is near
                    await part.opened(self._client)

    def detach(self, part: Part) -> None:
        self.parts = tuple(other for other in self.parts if other is not part)

    async def publish(
        self, subject: str, body: bytes, *, reply: str = "", headers: dict[str, str] | None = None
    ) -> None:
        """Send and forget. Raises UnavailableError where nothing was sent."""
        if self._client is None:
            raise UnavailableError("not connected to NATS")
        try:
            await self._client.publish(subject, body, reply=reply, headers=headers)
        except (nats.errors.Error, OSError) as error:
            raise UnavailableError(f"not sent: {error}") from error

    # The one task.

    async def _keep(self) -> None:
        delay = FIRST_DELAY
        while True:
            born = time.monotonic()
            try:
                await self._live()
            except Exception as error:  # nats-py raises anything; and whatever it is: again
                self.locked_out = str(login.explained(error, self._directory) or "")
                self._say(f"no connection: {self.locked_out or str(error) or repr(error)}", again=self._down)
                self._down = True
            if time.monotonic() - born > 2 * MAX_DELAY:
                delay = FIRST_DELAY
            await asyncio.sleep(random.uniform(delay / 2, delay))
            delay = min(2 * delay, MAX_DELAY)

    async def _live(self) -> None:
        """The life of one client."""
        client = login.NatsClient()
        try:
            async with asyncio.timeout(2 * self._timing.connect):  # wrong TLS can hang
                await client.connect(**self._options, **await login.options(self._directory))
            self._gone.clear()
            _when_deaf(client, lambda: self._lose(client))
            async with self._changing:
                self._client = client
                for part in self.parts:
                    await part.opened(client)
            self.opened += 1
            self._opened.set()
            self._down, self.locked_out = False, ""
            self._say("connected", logging.INFO)
            self._say(await self._watch(client))
        finally:
            self._lose(client)
            burial = asyncio.create_task(_bury(client))
            self._burials.add(burial)
            burial.add_done_callback(self._burials.discard)

    async def _watch(self, client: Client) -> str:
        """Returns when the client is dead: of what."""
        heard, since = 0, time.monotonic()
        while not await _within(self._timing.watch, self._gone.wait()):
            if _is_dead(client):
                break
            if (now_heard := self._traffic(client)) != heard:
                heard, since, self._missed = now_heard, time.monotonic(), 0
            elif time.monotonic() - since >= self._timing.reply and await self._probe():
                self._missed = self._missed + 1 if self._traffic(client) == heard else 0
                if self._missed == MISSED_PROBES:
                    return "it is connected, but does not answer"
        return f"the connection was closed: {client.last_error or 'nobody says why'}"

    def _lose(self, client: Client) -> None:
        """Whatever was to come will not come any more: say so at once."""
        if self._client is not client:
            return
        self._client = None
        self._missed = 0
        self._gone.set()
        for part in self.parts:
            part.lost()

    def _traffic(self, client: Client) -> int:
        """Grows with everything that the server says, pongs aside."""
        return int(client.stats["in_msgs"]) + self._complaints

    async def _on_error(self, error: Exception) -> None:
        """Runs in the task that reads: it must neither raise nor wait."""
        if self._spared and self._spared in str(error).lower():
            logger.debug("NATS at %s: %s", self._address, error)
            return
        self._say(str(error) or repr(error), again=self._down)
        if "permissions violation" in str(error):
            self._complaints += 1
            self._refused = str(error), time.monotonic() + REMEMBERED

    def _say(self, news: str, level: int = logging.WARNING, *, again: bool = False) -> None:
        """News are said once. `again`: one more try failed, as was to be expected."""
        if news != self._said:
            self._said = news
            logger.log(logging.DEBUG if again else level, "NATS at %s: %s", self._address, news)


async def _within(seconds: float, event: Awaitable[object]) -> bool:
    """Whether it came in time."""
    try:
        async with asyncio.timeout(seconds):
            await event
    except TimeoutError:
        return False
    return True


# What nats-py keeps to itself.


def _when_deaf(client: Client, call: Callable[[], None]) -> None:
    """Call back as soon as nobody reads from the socket any more. Every death comes through here but that of a hang."""

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            task.exception()  # seen: the loop need not complain
        call()

    reading = client._reading_task
    assert reading is not None, "it is there as soon as `connect` returns"
    reading.add_done_callback(ended)


def _is_dead(client: Client) -> bool:
    return client.is_closed or client._reading_task is None or client._reading_task.done()


async def _bury(client: Client) -> None:
    """Close it, though that may hang; and end the tasks that it leaves behind when closing fails half way."""
    with contextlib.suppress(Exception):
        async with asyncio.timeout(CLOSE_TIMEOUT):
            await client.close()
    for subscription in list(client._subs.values()):
        subscription._stop_processing()
