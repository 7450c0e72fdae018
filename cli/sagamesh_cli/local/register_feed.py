"""Follows the registers of a saga as they are written, for people to watch. Nothing depends on it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import DeliverPolicy

from sagamesh.errors import UnreadableError
from sagamesh.log import codec, registers
from sagamesh.log.registers import Instance, Register
from sagamesh_jetstream.client import login

Heard = Callable[[Instance, Register], None]
"""Takes each register as it is written."""


@contextlib.asynccontextmanager
async def following(
    url: str, namespace: str, sagas: list[str], heard: Heard, directory: str = ""
) -> AsyncIterator[None]:
    """Call `heard` with each register that is written to these sagas from now on, but for markers.

    `directory`: with the login of NATS.
    """
    client = login.NatsClient()
    options = await login.options(directory)
    await client.connect(url, max_reconnect_attempts=-1, error_cb=_ignore, name="sagamesh follow", **options)
    try:
        for saga in sagas:
            for subjects in registers.subjects(namespace, saga):
                await _subscribe(client, subjects, heard)
        yield
    finally:
        with contextlib.suppress(Exception):
            await asyncio.wait_for(client.close(), 5)


async def _subscribe(client: Client, subject: str, heard: Heard) -> None:
    async def on_message(message: Msg) -> None:
        if ".absent." in message.subject:
            return
        with contextlib.suppress(UnreadableError):
            instance, _ = registers.parse(message.subject)
            heard(instance, codec.decode(_stored(message)))

    context = client.jetstream()
    await context.subscribe(subject, cb=on_message, ordered_consumer=True, deliver_policy=DeliverPolicy.NEW)


def _stored(message: Msg) -> codec.Message:
    facts = message.metadata
    return codec.Message(
        message.subject, message.headers or {}, message.data, facts.sequence.stream, facts.timestamp.timestamp()
    )


async def _ignore(_: Exception) -> None:
    """A watcher that misses something misses nothing that matters."""
