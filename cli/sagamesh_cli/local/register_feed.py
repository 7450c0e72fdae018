"""Follows the registers of a saga as they are written, for people to watch. Nothing depends on it.

Each stream has a consumer on the server that lives in memory, and is made again where it may be gone. What was written
meanwhile still comes, since a feed knows how far it got.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from sagamesh.errors import UnavailableError, UnreadableError
from sagamesh.log import codec, registers
from sagamesh.log.registers import Instance, Register
from sagamesh_jetstream.client import replies
from sagamesh_jetstream.client.ports import JetStream, JetStreamError, JsonObject
from sagamesh_jetstream.client.session import connect

Heard = Callable[[Instance, Register], None]
"""Takes each register as it is written."""
HEARTBEAT = 5.0
"""Seconds after which the server says that there is nothing new: somebody sits and watches."""
AGAIN = 1.0
"""Seconds until a consumer that could not be made is tried again: a server that restarts is soon back."""
SECOND = 1_000_000_000
"""Nanoseconds, in which JetStream counts."""


@contextlib.asynccontextmanager
async def following(
    url: str, namespace: str, sagas: list[str], heard: Heard, directory: str = ""
) -> AsyncIterator[None]:
    """Call `heard` with each register that is written to these sagas from now on, but for markers.

    `directory`: with the login of NATS. Raises UnavailableError and JetStreamError, where it cannot begin.
    """
    async with connect(url, directory=directory) as js, contextlib.AsyncExitStack() as stack:
        for saga in sagas:
            names = zip(registers.streams(namespace, saga), registers.subjects(namespace, saga), strict=True)
            for stream, subjects in names:
                state = (await js.api(f"STREAM.INFO.{stream}"))["state"]
                feed = RegisterFeed(js, stream, subjects, heard, after=state["last_seq"])
                stack.push_async_callback(feed.close)
                await js.connection.attach(feed)
        yield


class RegisterFeed:
    """A part of a connection: what is written to one stream, in order, after a sequence."""

    def __init__(self, js: JetStream, stream: str, subjects: str, heard: Heard, *, after: int) -> None:
        self._js = js
        self._stream = stream
        self._subjects = subjects
        self._heard = heard
        self._last = after
        self._came = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    async def opened(self, client: Client) -> None:
        self._keeper = asyncio.create_task(self._keep(client))

    def lost(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()

    async def close(self) -> None:
        self.lost()
        if self._keeper is not None:
            await asyncio.wait([self._keeper])

    async def _keep(self, client: Client) -> None:
        """Have a consumer, and another one when it is silent: then the server has forgotten it."""
        while True:
            with contextlib.suppress(JetStreamError, UnavailableError, nats.errors.Error):
                await self._follow(client)
            await asyncio.sleep(AGAIN)

    async def _follow(self, client: Client) -> None:
        """The life of one consumer. The inbox is its own: a server pushes to no wildcard."""
        inbox = client.new_inbox()
        feed = await client.subscribe(inbox, cb=self._on_message, pending_msgs_limit=0, pending_bytes_limit=0)
        try:
            await self._js.api(f"CONSUMER.CREATE.{self._stream}", self._consumer(inbox))
            await self._until_silent()
        finally:
            with contextlib.suppress(nats.errors.Error):
                await feed.unsubscribe()

    def _consumer(self, target: str) -> JsonObject:
        config: dict[str, Any] = {
            "deliver_subject": target,
            "filter_subject": self._subjects,
            "ack_policy": "none",
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": self._last + 1,
            "idle_heartbeat": int(HEARTBEAT * SECOND),
            "mem_storage": True,
            "num_replicas": 1,
        }
        return {"stream_name": self._stream, "config": config}

    async def _until_silent(self) -> None:
        """Returns when neither a message nor a heartbeat came for two heartbeats."""
        with contextlib.suppress(TimeoutError):
            while True:
                self._came.clear()
                async with asyncio.timeout(2 * HEARTBEAT + AGAIN):
                    await self._came.wait()

    async def _on_message(self, message: Msg) -> None:
        """Called by nats-py: must neither raise nor wait."""
        self._came.set()
        if replies.status(message.headers) is not None:
            return
        stored, _ = replies.delivered_message(message.subject, message.reply, message.headers, message.data)
        if stored.sequence <= self._last:  # of the consumer before
            return
        self._last = stored.sequence
        if ".absent." not in stored.subject:
            with contextlib.suppress(UnreadableError):
                instance, _ = registers.parse(stored.subject)
                self._heard(instance, codec.decode(stored))
