"""What nats-py keeps to itself and is needed all the same. `tests/nats` guards each attribute that is used here.

All of it stands here, so that a new release of nats-py is one module's matter. When any of it is called, `connection`
decides.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from nats.aio.client import Client

CLOSE_TIMEOUT = 5.0
"""Seconds that a client may take to end: as long as a reply, for which a deaf one would wait."""


def when_deaf(client: Client, call: Callable[[], None]) -> None:
    """Call back as soon as nobody reads from the socket any more. Every death comes through here but that of a hang."""
    reading, pinging = client._reading_task, client._ping_interval_task
    assert reading is not None, "it is there as soon as `connect` returns"
    assert pinging is not None, "it is, too"
    pinging.add_done_callback(_seen)  # it fails where it pings a server that has just hung up
    reading.add_done_callback(_seen)
    reading.add_done_callback(lambda _: call())


def _seen(task: asyncio.Task[None]) -> None:
    """The loop need not complain that nobody has asked how it ended."""
    if not task.cancelled():
        task.exception()


def is_dead(client: Client) -> bool:
    """Whether nobody reads from its socket. `is_connected` says nothing: it stays true then."""
    return client.is_closed or client._reading_task is None or client._reading_task.done()


def server_info(client: Client) -> dict[str, Any]:
    """What the server said of itself as it was connected: its version, its cluster, whether JetStream is on."""
    return dict(client._server_info)


def cut(client: Client) -> None:
    """Drop the socket, with all that was to be sent: `close` would send it first."""
    client._pending, client._pending_data_size = [], 0
    writer = getattr(client._transport, "_io_writer", None)
    if writer is not None:
        writer.transport.abort()


async def bury(client: Client) -> None:
    """Close it, though that may hang; and end the tasks that it leaves behind when closing fails half way."""
    with contextlib.suppress(Exception):
        async with asyncio.timeout(CLOSE_TIMEOUT):
            await client.close()
    for subscription in list(client._subs.values()):
        subscription._stop_processing()
