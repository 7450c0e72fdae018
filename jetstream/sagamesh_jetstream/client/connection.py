"""One client of NATS, replaced when it dies. Knows nothing of streams: its parts do, which move to each new client.

A client is dead when its reading task has ended, when it is closed, or when two probes in a row brought nothing at all.
`is_connected` of nats-py says nothing: it stays true while nobody reads. It is dropped, too, when this process has
stood still: what it had in hand is another's by then. All that is used of nats-py and not public stands in `hidden`.

A client that lost its server is never revived but replaced. nats-py can reconnect by itself, but that is a second path
to the same place, with traps of its own (it may hang, go deaf, give up); replacing has to work anyway, for the client
that is closed for good by an expired password, and the one that is deaf while it says that it is connected.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import nats.errors
from nats.aio.client import Client

from sagamesh.errors import UnavailableError
from sagamesh_jetstream.client import hidden, login
from sagamesh_jetstream.client.hidden import CLOSE_TIMEOUT
from sagamesh_jetstream.client.ports import JsonObject
from sagamesh_jetstream.client.pulse import Pulse, elapsed

logger = logging.getLogger(__name__)

FIRST_DELAY, MAX_DELAY = 0.2, 2.0
"""Seconds between a client's death and the next one, doubling while none lives, with jitter: a server that restarts
is soon back, and one that stays away is not worth more than a try every two seconds."""
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
    gap: float = 30.0  # for which this process may stand still: three leases, so that all it held is another's


class Part(Protocol):
    """What lives on the connection, over all its clients."""

    async def opened(self, client: Client, /) -> None:
        """There is a new client: subscribe. May raise what nats-py raises."""
        ...

    def lost(self) -> None:
        """The client is gone, and with it all that it was to bring."""
        ...


Probe = Callable[[], Awaitable[bool]]
"""Sends a request and waits for its reply, or in vain; False: there is nothing that could be asked. Must not raise."""


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
        level: int = logging.WARNING,
        clock: Callable[[], float] = elapsed,
    ) -> None:
        """`url`: of one server, or of several, separated by commas. `first_login`: what nats-py's `connect` takes.

        `directory`: of the files of `sagamesh_jetstream.client.login`, or empty. `spared`: subjects that begin so may
        be refused, and that is no fault. `level`: of bad news in the log. `clock`: by which it is seen that this
        process has stood still.
        """
        self._address = re.sub(r"//[^@/,]*@", "//", url)  # without a password
        self._directory = directory
        self.problem = f"NATS at {self._address} was not reached yet"
        """Why there is no client; empty: there is one."""
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
        self._tried = asyncio.Event()
        self._gone = asyncio.Event()
        self._pulse = Pulse(timing.gap, clock)
        self.gaps = 0
        """How often this process has stood still: leases from before are another's."""
        self._missed = 0
        self.complaints = 0
        """How often the server has refused something for want of rights."""
        self._refused = ("", 0.0)  # what, and until when that is news
        self._reported: Exception | None = None  # by nats-py, while it connects
        self._cause = ""  # why the client was dropped
        self._level = level
        self._said = ""
        self._down = False  # and said so
        self._keeper: asyncio.Task[None] | None = None
        self._burials: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Returns when connected, or after a while: from then on it is tried in the background."""
        self._begin()
        await _within(self._timing.start, self._opened.wait())

    async def try_once(self) -> None:
        """As `start`, but raises UnavailableError where the first try fails. To be closed all the same."""
        self._begin()
        await self._tried.wait()
        if self.problem:
            raise UnavailableError(self.problem)

    async def closed(self) -> None:
        """Returns after `close`."""
        if self._keeper is not None:
            await asyncio.wait([self._keeper])

    async def close(self) -> None:
        while self._keeper is not None and not self._keeper.done():
            self._keeper.cancel()  # more than once: nats-py swallows a cancel that reaches it while it closes
            await asyncio.wait([self._keeper], timeout=0.1)
        if self._burials:
            await asyncio.wait(self._burials, timeout=2 * CLOSE_TIMEOUT)

    @property
    def connected(self) -> bool:
        return self._client is not None and not hidden.is_dead(self._client) and not self._missed

    @property
    def refused(self) -> str:
        """What the server has lately refused for want of rights. It says so in passing, and never as a reply."""
        what, until = self._refused
        return what if time.monotonic() < until else ""

    @property
    def max_payload(self) -> int | None:
        """The most that the server takes at once, while there is one."""
        return None if self._client is None else int(self._client.max_payload)

    @property
    def server_info(self) -> JsonObject:
        """What the server said of itself as it was connected; empty: there is none."""
        return {} if self._client is None else hidden.server_info(self._client)

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
        if self._client is None or self._stood_still():
            raise UnavailableError(self.problem)
        try:
            await self._client.publish(subject, body, reply=reply, headers=headers)
        except (nats.errors.Error, OSError) as error:
            raise UnavailableError(f"not sent: {error}") from error

    # The one task.

    def _begin(self) -> None:
        self._keeper = asyncio.create_task(self._keep())

    async def _keep(self) -> None:
        delay = FIRST_DELAY
        while True:
            born = time.monotonic()
            try:
                await self._live()
            except Exception as error:  # nats-py raises anything; and whatever it is: again
                self._explain(error)
            if time.monotonic() - born > 2 * MAX_DELAY:
                delay = FIRST_DELAY
            await asyncio.sleep(random.uniform(delay / 2, delay))
            delay = min(2 * delay, MAX_DELAY)

    def _explain(self, error: Exception) -> None:
        """A try has failed. What nats-py reports meanwhile tells more than what it raises in the end."""
        why = error if isinstance(error, login.LoginError) else self._reported or error
        self.locked_out = str(login.explained(why, self._directory) or "")
        words = self.locked_out or _words(why)
        self.problem = f"NATS at {self._address} cannot be reached: {words}"
        self._tried.set()
        self._say(f"no connection: {words}", again=self._down)
        self._down = True

    async def _live(self) -> None:
        """The life of one client."""
        self._stood_still()  # looked at while there is no client, too: how long that takes is no gap
        self._reported, self._cause = None, ""
        client = login.NatsClient()
        try:
            async with asyncio.timeout(2 * self._timing.connect):  # wrong TLS can hang
                await client.connect(**self._options, **await login.options(self._directory))
            await self._move_to(client)
            self._say("connected", logging.INFO)
            self._say(await self._watch(client))
        finally:
            self._lose(client)
            burial = asyncio.create_task(hidden.bury(client))
            self._burials.add(burial)
            burial.add_done_callback(self._burials.discard)

    async def _move_to(self, client: Client) -> None:
        """Let all parts live there."""
        self._gone.clear()
        hidden.when_deaf(client, lambda: self._lose(client))
        self._stood_still()  # and if so, nothing of before is sent by this client
        async with self._changing:
            self._reported, self._client = None, client
            for part in self.parts:
                await part.opened(client)
        if self._client is not client:
            raise ConnectionError("the connection was lost at once")
        self.opened += 1
        self.problem = self.locked_out = ""
        self._down = False
        self._opened.set()
        self._tried.set()

    async def _watch(self, client: Client) -> str:
        """Returns when the client is dead: of what."""
        heard, since = 0, time.monotonic()
        while not await _within(self._timing.watch, self._gone.wait()):
            if self._stood_still() or hidden.is_dead(client):
                break
            if (now_heard := self._traffic(client)) != heard:
                heard, since, self._missed = now_heard, time.monotonic(), 0
            elif time.monotonic() - since >= self._timing.reply and await self._probed():
                self._missed = self._missed + 1 if self._traffic(client) == heard else 0
                if self._missed == MISSED_PROBES:
                    return "it is connected, but does not answer"
        return self._cause or f"the connection was closed: {client.last_error or 'nobody says why'}"

    async def _probed(self) -> bool:
        """Whether anything was asked. It takes no longer than `reply`, however patient its own request is."""
        try:
            async with asyncio.timeout(self._timing.reply):
                return await self._probe()
        except TimeoutError:
            return True

    def _stood_still(self) -> bool:
        """Whether this process has just stood still for too long. Then its client goes, with what it had yet to send.

        Asked by every look at the client and before everything that is sent.
        """
        still = self._pulse.beat()
        if not still:
            return False
        self.gaps += 1
        if self._client is not None:
            self._cause = f"this process stood still for {still:.1f} s, and begins anew"
            hidden.cut(self._client)
            self._lose(self._client)
        return True

    def _lose(self, client: Client) -> None:
        """Whatever was to come will not come any more: say so at once."""
        if self._client is not client:
            return
        self._client = None
        self._missed = 0
        self.problem = f"the connection to NATS at {self._address} was lost"
        self._gone.set()
        for part in self.parts:
            part.lost()

    def _traffic(self, client: Client) -> int:
        """Grows with everything that the server says, pongs aside."""
        return int(client.stats["in_msgs"]) + self.complaints

    async def _on_error(self, error: Exception) -> None:
        """Runs in the task that reads: it must neither raise nor wait.

        A right that is missing is kept in `refused`, for which the sidecar's readiness asks: /readyz is 503 meanwhile.
        """
        if self._spared and self._spared in str(error).lower():
            logger.debug("NATS at %s: %s", self._address, error)
            return
        self._reported = error
        self._say(str(error) or repr(error), again=self._down)
        if "permissions violation" in str(error):
            self.complaints += 1
            self._refused = str(error), time.monotonic() + REMEMBERED

    def _say(self, news: str, level: int | None = None, *, again: bool = False) -> None:
        """News are said once. `again`: one more try failed, as was to be expected."""
        if news != self._said:
            self._said = news
            logger.log(logging.DEBUG if again else level or self._level, "NATS at %s: %s", self._address, news)


async def _within(seconds: float, event: Awaitable[object]) -> bool:
    """Whether it came in time."""
    try:
        async with asyncio.timeout(seconds):
            await event
    except TimeoutError:
        return False
    return True


def _words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "nothing there answers as a NATS server does"
    return str(error) or repr(error)
