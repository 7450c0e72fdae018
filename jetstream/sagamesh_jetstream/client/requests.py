"""Requests and their replies, over one inbox for all of them.

Unlike nats-py's own, a request ends at once when the connection is lost, may have several replies, and costs half. What
replies say, `replies` knows.
"""

from __future__ import annotations

import asyncio
from itertools import count

from nats.aio.client import Client
from nats.aio.msg import Msg

from sagamesh.errors import UnavailableError
from sagamesh_jetstream.client import replies
from sagamesh_jetstream.client.connection import NatsConnection


class RequestError(UnavailableError):
    """A request that brought nothing. `problem`: why, without its subject."""

    def __init__(self, subject: str, problem: str) -> None:
        super().__init__(f"{subject}: {problem}")
        self.problem = problem


class SilenceError(RequestError):
    """It was sent, and no reply came in time: whether it was heard is not known."""


class NobodyError(RequestError):
    """Nobody listens there: it was heard by nobody."""


class _Waiting:
    """A request under way: what came so far, and whether one reply is all."""

    __slots__ = ("done", "messages", "single")

    def __init__(self, *, single: bool) -> None:
        self.single = single
        self.messages: list[Msg] = []
        self.done: asyncio.Future[str] = asyncio.get_running_loop().create_future()  # what went wrong, if anything

    def take(self, message: Msg) -> None:
        self.messages.append(message)
        if self.single or replies.status(message.headers):
            self.end("")

    def end(self, problem: str) -> None:
        if not self.done.done():
            self.done.set_result(problem)


class Requests:
    """A part of a connection, to be attached before all others. Everything raises UnavailableError.

    Where a request was sent it is a RequestError: no reply within `timeout` seconds, nobody who could give one, or the
    connection was lost.
    """

    def __init__(self, connection: NatsConnection, timeout: float) -> None:
        self._connection = connection
        self._timeout = timeout
        self._silence = f"no reply within {timeout:g} s"
        self._inbox = ""
        self._keys = count()
        self._waiting: dict[str, _Waiting] = {}

    async def opened(self, client: Client) -> None:
        inbox = client.new_inbox()
        # No limits: they would drop replies without a word, and what can come is bounded by what was asked.
        await client.subscribe(f"{inbox}.*", cb=self._on_reply, pending_msgs_limit=0, pending_bytes_limit=0)
        self._inbox = inbox

    def lost(self) -> None:
        self._inbox = ""
        for waiting in self._waiting.values():
            waiting.end("the connection to NATS was lost before the reply came")

    async def ask(self, subject: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Msg:
        """Send a request; its reply."""
        return (await self._exchange(_Waiting(single=True), subject, body, headers))[0]

    async def ask_many(self, subject: str, body: bytes) -> list[Msg]:
        """Send a request; its replies, the last of which is a status line."""
        return await self._exchange(_Waiting(single=False), subject, body, None)

    async def _exchange(
        self, waiting: _Waiting, subject: str, body: bytes, headers: dict[str, str] | None
    ) -> list[Msg]:
        if not self._inbox:  # a reply would find nobody
            raise UnavailableError(self._connection.problem or "not connected to NATS")
        key = str(next(self._keys))
        self._waiting[key] = waiting
        timer = waiting.done.get_loop().call_later(self._timeout, waiting.end, self._silence)
        try:
            await self._connection.publish(subject, body, reply=f"{self._inbox}.{key}", headers=headers)
            problem = await waiting.done
        finally:
            timer.cancel()
            del self._waiting[key]
        if problem:
            raise (SilenceError if problem is self._silence else RequestError)(subject, problem)
        if replies.status(waiting.messages[-1].headers) == replies.NO_RESPONDERS:
            raise NobodyError(subject, "nobody answers")
        return waiting.messages

    async def _on_reply(self, message: Msg) -> None:
        waiting = self._waiting.get(message.subject[len(self._inbox) + 1 :])
        if waiting is not None:  # else too late
            waiting.take(message)
