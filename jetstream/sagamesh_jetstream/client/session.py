"""JetStream over nats-py: raw requests with raw JSON, and every way to fail as one of the port's two errors.

`connect` gives a client for a while, as the command line needs it. `Session` is for the operator, which stays: its
client is replaced when it dies, for nats-py can be deaf while it says that it is connected.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import datetime
from typing import Any, TypeVar

from nats.aio.client import Client
from nats.aio.msg import Msg

import nats
from sagamesh.errors import UnavailableError
from sagamesh.log.codec import Message
from sagamesh_jetstream.client import login
from sagamesh_jetstream.client.ports import JetStreamError, JsonObject

logger = logging.getLogger(__name__)

TIMEOUT = 10.0
"""Seconds. A cluster that has lost a stream's leader answers again after four to eight."""

FIRST_DELAY, MAX_DELAY = 0.2, 5.0
"""Seconds between the end of one client and the next one, doubling while none lives, with jitter.

Another server of a cluster is there at once; one that is restarted takes seconds, and nobody waits for the operator.
"""

CLOSE_TIMEOUT = 2.0
"""Seconds to say goodbye: what closes well takes a moment, and what does not never does."""
PROBE = 5.0
"""Seconds between looks whether the server answers: a client that is deaf is replaced after this and `TIMEOUT`."""
TOO_LARGE = 10054
"""JetStream's code for a message that is too large, and ours where the client finds it out before."""

Asked = TypeVar("Asked")
Heard = Callable[[str, bytes], None]


class NatsJetStream:
    """The port `JetStream` over a client that is connected already; `connect` makes both."""

    def __init__(self, client: Client, timeout: float = TIMEOUT) -> None:
        self._client = client
        self._timeout = timeout

    async def api(self, verb: str, body: JsonObject | None = None) -> JsonObject:
        return await self._ask(f"$JS.API.{verb}", json.dumps(body).encode() if body else b"", verb)

    def server(self) -> JsonObject:
        """What the server said of itself as it was connected: its version, its cluster, whether JetStream is on."""
        return dict(self._client._server_info)

    async def publish(self, subject: str, body: bytes) -> int:
        sequence: int = (await self._ask(subject, body, f"the message {subject}"))["seq"]
        return sequence

    async def last(self, stream: str, subjects: Sequence[str]) -> tuple[Message, ...]:
        asked = f"DIRECT.GET.{stream}"
        inbox = self._client.new_inbox()
        messages = []
        with _told(asked):
            replies = await self._client.subscribe(inbox)
            try:
                body = json.dumps({"multi_last": list(subjects)}).encode()
                await self._client.publish(f"$JS.API.{asked}", body, reply=inbox)
                while "Status" not in ((reply := await replies.next_msg(self._timeout)).headers or {}):
                    messages.append(_stored(reply))
            finally:
                await replies.unsubscribe()
        return tuple(messages)

    async def listen(self, subject: str, heard: Heard) -> None:
        """Call `heard` with subject and body of whatever is published there, as long as the client lives. Lossy."""

        async def on_message(message: Msg) -> None:
            heard(message.subject, message.data)

        with _told(f"SUB {subject}"):
            await self._client.subscribe(subject, cb=on_message)

    async def answers(self) -> bool:
        """Whether the server still does. Of a deaf client only a request knows: `flush` would say that all is well."""
        try:
            await self._client.request("$JS.API.INFO", b"", timeout=self._timeout)
        except nats.errors.NoRespondersError:  # JetStream is off, and the server is there
            return True
        except (OSError, nats.errors.Error):
            _heed_cancel()
            return False
        _heed_cancel()
        return True

    async def _ask(self, subject: str, body: bytes, asked: str) -> JsonObject:
        message = await self._request(subject, body, asked)
        try:
            reply: JsonObject = json.loads(message.data)
        except ValueError:
            raise UnavailableError(f"what answered {asked} is not JetStream: {message.data[:100]!r}") from None
        if error := reply.get("error"):
            raise JetStreamError(
                asked, error["code"], error.get("err_code", 0), error.get("description", "no reason given")
            )
        return reply

    async def _request(self, subject: str, body: bytes, asked: str) -> Msg:
        before = self._client.last_error
        try:
            return await self._client.request(subject, body, timeout=self._timeout)
        except nats.errors.MaxPayloadError as error:
            raise JetStreamError(asked, 400, TOO_LARGE, "it is larger than the server takes") from error
        except nats.errors.NoRespondersError as error:
            raise UnavailableError(
                f"nobody at NATS takes {asked}: JetStream is off, has no such stream, or has no leader just now"
            ) from error
        except nats.errors.TimeoutError as error:
            _heed_cancel()
            # A missing permission is silence, too; its reason comes another way, and perhaps belongs to this request.
            reason = self._client.last_error
            hint = f"; meanwhile the server said: {reason}" if reason is not before else ""
            raise UnavailableError(f"NATS did not answer {asked} within {self._timeout:g} s{hint}") from error
        except nats.errors.Error as error:
            raise UnavailableError(f"NATS cannot be reached for {asked}: {_words(error)}") from error


class LockedOut(UnavailableError):  # noqa: N818 - as UnavailableError, and it takes a person to mend it
    """The login cannot be used, or was not taken."""


class Session:
    """The port `JetStream` for as long as `run` runs, over one client after the other.

    While there is none, everything raises UnavailableError at once, with the reason. `opened` is called whenever there
    is a new client, `lost` when it is gone. `probe`: seconds between looks whether the server answers. `directory`: of
    the files of `sagamesh_jetstream.client.login`.
    """

    def __init__(self, url: str, *, directory: str = "", timeout: float = TIMEOUT, probe: float = PROBE) -> None:
        self.opened: Callable[[], object] = lambda: None
        self.lost: Callable[[], object] = lambda: None
        self._url = url
        self._directory = directory
        self._timeout = timeout
        self._probe = probe
        self.locked_out = ""
        """Why the login is not taken, while there is no client; empty: it is, or something else is wrong."""
        self._listeners: list[tuple[str, Heard]] = []
        self._current: NatsJetStream | None = None
        self._suspect = asyncio.Event()
        self.problem = "the operator has not connected to NATS yet"
        """Why there is no client; empty: there is one."""

    def listen(self, subject: str, heard: Heard) -> None:
        """To be called before `run`."""
        self._listeners.append((subject, heard))

    async def run(self) -> None:
        """Until it is cancelled."""
        delay = FIRST_DELAY
        while True:
            try:
                async with connect(
                    self._url, directory=self._directory, timeout=self._timeout, allow_reconnect=False
                ) as js:
                    delay, self.locked_out = FIRST_DELAY, ""
                    await self._live(js)
                self.problem = f"the connection to NATS at {self._url.rpartition('@')[2]} was lost"
            except UnavailableError as error:
                self.problem = str(error)
                self.locked_out = self.problem if isinstance(error, LockedOut) else ""
            if self._current is not None:
                self._current = None
                self.lost()
            logger.warning("NATS: %s", self.problem)
            _heed_cancel()
            await asyncio.sleep(random.uniform(delay / 2, delay))
            delay = min(2 * delay, MAX_DELAY)

    async def _live(self, js: NatsJetStream) -> None:
        """The life of one client. Returns when the server does not answer any more."""
        for subject, heard in self._listeners:
            await js.listen(subject, heard)
        self._current, self.problem = js, ""
        logger.info("NATS: connected")
        self.opened()
        while await js.answers():
            self._suspect.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._probe):
                    await self._suspect.wait()

    async def api(self, verb: str, body: JsonObject | None = None) -> JsonObject:
        return await self._use(lambda js: js.api(verb, body))

    async def publish(self, subject: str, body: bytes) -> int:
        return await self._use(lambda js: js.publish(subject, body))

    async def last(self, stream: str, subjects: Sequence[str]) -> tuple[Message, ...]:
        return await self._use(lambda js: js.last(stream, subjects))

    async def _use(self, request: Callable[[NatsJetStream], Awaitable[Asked]]) -> Asked:
        if self._current is None:
            raise UnavailableError(self.problem)
        try:
            return await request(self._current)
        except UnavailableError:
            self._suspect.set()
            raise


@asynccontextmanager
async def connect(
    url: str, *, directory: str = "", timeout: float = TIMEOUT, **options: Any
) -> AsyncIterator[NatsJetStream]:
    """Connected for as long as the block lasts. Raises UnavailableError.

    `url`: of one server, or of several, separated by commas. `directory`: of the files of `login`.
    `options` are nats-py's.
    """
    client = login.NatsClient()
    try:
        await _open(client, url, directory, timeout, options)
        yield NatsJetStream(client, timeout)
    finally:
        with suppress(OSError, nats.errors.Error, AssertionError):  # the last: a client that never began to connect
            async with asyncio.timeout(CLOSE_TIMEOUT):  # one that is deaf would wait for an answer
                await client.close()


async def _open(client: Client, url: str, directory: str, timeout: float, options: dict[str, Any]) -> None:
    address = re.sub(r"//[^@/,]*@", "//", url)  # without a password
    try:
        async with asyncio.timeout(timeout):  # nats-py alone would try a dead port for two minutes
            await client.connect(
                url.split(","),
                name="sagamesh-operator",
                max_reconnect_attempts=-1,
                pending_size=0,  # what cannot be sent now fails now, instead of surprising somebody later
                error_cb=_note,
                **options,
                **await login.options(directory),
            )
    except (OSError, nats.errors.Error, login.LoginError) as error:  # a timeout is an OSError
        _heed_cancel()
        why = client.last_error or error
        if explained := login.explained(why, directory):
            raise LockedOut(f"NATS at {address} cannot be reached: {explained}") from error
        raise UnavailableError(f"NATS at {address} cannot be reached: {_words(why)}") from error


async def _note(error: Exception) -> None:
    """For those who look closer: a request that fails says it itself. Must not raise, or the client stops reading."""
    logger.info("NATS: %s", _words(error))


@contextmanager
def _told(asked: str) -> Iterator[None]:
    try:
        yield
    except (OSError, nats.errors.Error) as error:
        _heed_cancel()
        raise UnavailableError(f"NATS cannot be reached for {asked}: {_words(error)}") from error


def _heed_cancel() -> None:
    """To be called when nats-py is done: it may swallow a cancel, or make another error of it."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _stored(reply: Msg) -> Message:
    """A stored message, as direct get replies it."""
    headers = reply.headers or {}
    time = datetime.fromisoformat(headers["Nats-Time-Stamp"]).timestamp()
    own = {name: value for name, value in headers.items() if not name.startswith("Nats-")}
    return Message(headers["Nats-Subject"], own, reply.data, int(headers["Nats-Sequence"]), time)


def _words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "nothing there answers as a NATS server does"
    return str(error) or type(error).__name__
