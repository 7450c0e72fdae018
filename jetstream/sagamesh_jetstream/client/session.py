"""The port `JetStream` over one connection: raw requests with raw JSON, and every way to fail as one of two errors.

`connect` gives it for a while, as the command line needs it: where nothing is there, it says so at once. `Session` is
for the operator, which stays and waits. How a client is kept alive is `connection`'s matter, in both.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress

from msgspec import json
from nats.aio.client import Client

from sagamesh.errors import UnavailableError
from sagamesh.log.codec import Message
from sagamesh_jetstream.client import replies
from sagamesh_jetstream.client.connection import NatsConnection, Timing
from sagamesh_jetstream.client.listener import Heard, Listener
from sagamesh_jetstream.client.ports import JetStreamError, JsonObject
from sagamesh_jetstream.client.requests import NobodyError, RequestError, Requests, SilenceError

TIMEOUT = 10.0
"""Seconds that a request may take. A cluster that has lost a stream's leader answers again after four to eight."""


class LockedOut(UnavailableError):  # noqa: N818 - as UnavailableError, and it takes a person to mend it
    """The login cannot be used, or was not taken."""


class NatsJetStream:
    """The port `JetStream`. While there is no client, everything raises UnavailableError at once, with the reason."""

    def __init__(
        self,
        url: str,
        *,
        name: str,
        timing: Timing,
        directory: str = "",
        timeout: float = TIMEOUT,
        level: int = logging.WARNING,
    ) -> None:
        """`timeout`: seconds that a request may take; the rest as `NatsConnection` takes it."""
        self.connection = NatsConnection(
            url, self._probe, name=name, timing=timing, first_login={}, directory=directory, level=level
        )
        self._timeout = timeout
        self._requests = Requests(self.connection, timeout)
        self.connection.parts = (self._requests,)

    async def api(self, verb: str, body: JsonObject | None = None) -> JsonObject:
        return await self._ask(f"$JS.API.{verb}", json.encode(body) if body else b"", verb)

    async def publish(self, subject: str, body: bytes) -> int:
        sequence: int = (await self._ask(subject, body, f"the message {subject}"))["seq"]
        return sequence

    async def last(self, stream: str, subjects: Sequence[str]) -> tuple[Message, ...]:
        if not subjects:
            return ()
        asked = f"DIRECT.GET.{stream}"
        try:
            with self._told(asked):
                *messages, end = await self._requests.ask_many(
                    f"$JS.API.{asked}", json.encode({"multi_last": list(subjects)})
                )
        except _NobodyThereError:
            return ()  # there is no such stream
        headers = end.headers or {}
        replies.check_read(stream, replies.status(headers), headers)
        return tuple(replies.direct_message(message.headers or {}, message.data) for message in messages)

    async def listen(self, subject: str, heard: Heard) -> None:
        """Call `heard` with subject and body of whatever is published there, from now on. Lossy."""
        await self.connection.attach(Listener(subject, heard))

    async def _ask(self, subject: str, body: bytes, asked: str) -> JsonObject:
        room = self.connection.max_payload
        if room is not None and len(body) > room:  # the server would end the connection
            raise JetStreamError(asked, 400, replies.TOO_LARGE, "it is larger than the server takes")
        with self._told(asked):
            reply = await self._requests.ask(subject, body)
        return replies.api_reply(asked, reply.data)

    @contextmanager
    def _told(self, asked: str) -> Iterator[None]:
        """Failures of a request in the words of the one who asked."""
        if self.connection.problem:
            raise UnavailableError(self.connection.problem)
        before = self.connection.complaints
        try:
            yield
        except NobodyError as error:
            raise _NobodyThereError(
                f"nobody at NATS takes {asked}: JetStream is off, has no such stream, or has no leader just now"
            ) from error
        except SilenceError as error:
            # A missing permission is silence, too; its reason comes another way, and perhaps belongs to this request.
            hint = f"; meanwhile the server said: {self.connection.refused}"
            words = f"NATS did not answer {asked} within {self._timeout:g} s"
            raise UnavailableError(words + hint * (self.connection.complaints > before)) from error
        except RequestError as error:
            raise UnavailableError(f"NATS cannot be reached for {asked}: {error.problem}") from error

    async def _probe(self) -> bool:
        """Any reply will do, that JetStream is off as well."""
        with suppress(UnavailableError):
            await self._requests.ask("$JS.API.INFO")
        return True


class _NobodyThereError(UnavailableError):
    """Nobody takes what was asked."""


class Session:
    """The port `JetStream` for as long as `run` runs, over one client after the other.

    `opened` is called whenever there is a new client, `lost` when it is gone. `timeout`, `timing`: as `NatsJetStream`
    takes them. `directory`: of the files of `sagamesh_jetstream.client.login`.
    """

    def __init__(
        self,
        url: str,
        *,
        directory: str = "",
        timeout: float = TIMEOUT,
        timing: Timing = Timing(),  # noqa: B008 - frozen
    ) -> None:
        self.opened: Callable[[], object] = lambda: None
        self.lost: Callable[[], object] = lambda: None
        self._js = NatsJetStream(url, name="sagamesh-operator", timing=timing, directory=directory, timeout=timeout)
        self._connection = self._js.connection
        self._connection.problem = "the operator has not connected to NATS yet"
        self.api = self._js.api
        self.publish = self._js.publish
        self.last = self._js.last

    @property
    def problem(self) -> str:
        """Why there is no client; empty: there is one."""
        return self._connection.problem

    @property
    def locked_out(self) -> str:
        """Why the login is not taken, while there is no client; empty: it is, or something else is wrong."""
        return self.problem if self._connection.locked_out else ""

    def listen(self, subject: str, heard: Heard) -> None:
        """To be called before `run`."""
        self._connection.parts += (Listener(subject, heard),)

    async def run(self) -> None:
        """Until it is cancelled."""
        self._connection.parts += (Bell(self),)  # the last: who hears it finds all others there
        try:
            await self._connection.start()
            await self._connection.closed()
        finally:
            await self._connection.close()


class Bell:
    """A part of the connection: tells that there is a new client, and that it is gone."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._rang = False

    async def opened(self, _: Client) -> None:
        self._rang = True
        self._session.opened()

    def lost(self) -> None:
        if self._rang:
            self._rang = False
            self._session.lost()


@asynccontextmanager
async def connect(url: str, *, directory: str = "", timeout: float = TIMEOUT) -> AsyncIterator[NatsJetStream]:
    """Connected for as long as the block lasts. Raises UnavailableError, of which LockedOut is one.

    `url`: of one server, or of several, separated by commas. `directory`: of the files of `login`. `timeout`: seconds,
    of this and of each request.
    """
    timing = Timing(connect=timeout / 2)  # a try takes two of them at most
    js = NatsJetStream(
        url, name="sagamesh", timing=timing, directory=directory, timeout=timeout, level=logging.INFO
    )  # who uses it is told by errors
    try:
        await _reach(js.connection)
        yield js
    finally:
        await js.connection.close()


async def _reach(connection: NatsConnection) -> None:
    try:
        await connection.try_once()
    except UnavailableError as error:
        if connection.locked_out:
            raise LockedOut(str(error)) from None
        raise
