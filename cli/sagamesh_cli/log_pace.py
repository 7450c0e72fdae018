"""How many registers the logs of lone servers take just now, and how long a server needs to sync one. For `doctor`.

Looks, and measures; `views.doctor_checks` says what it means.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

from sagamesh.log import registers
from sagamesh_jetstream.client.ports import JetStream, JetStreamError, JsonObject

LOOK = 1.0
"""Seconds between two looks at how far the logs are: somebody sits and waits."""
PROBES = 64
"""Writes of one probe, all at once, so that the way to the server counts once: a fiftieth of a second of syncing."""
PROBE = "SAGAMESH_DOCTOR"
"""The stream that takes them. It is there for so long as that, and is made again if somebody left it."""


async def paces(js: JetStream) -> dict[str, float]:
    """Log -> registers a second, of those that one server alone holds. Raises JetStreamError and UnavailableError."""
    before, begun = await _last(js), time.monotonic()
    if not before:
        return {}
    await asyncio.sleep(LOOK)
    after, took = await _last(js), time.monotonic() - begun
    return {name: (after[name] - last) / took for name, last in before.items() if name in after}


async def write_takes(js: JetStream) -> float:
    """Seconds that this server is busy with one write to a log of its own, whoever else keeps its disk busy."""
    subject = f"{PROBE}.probe"
    config = {"name": PROBE, "subjects": [subject], "storage": "file", "num_replicas": 1}
    await js.api(f"STREAM.CREATE.{PROBE}", config)
    try:
        await js.publish(subject, b"the first one makes the files")
        begun = time.monotonic()
        await asyncio.gather(*(js.publish(subject, b"probe") for _ in range(PROBES)))
        return (time.monotonic() - begun) / PROBES
    finally:
        with contextlib.suppress(JetStreamError):
            await js.api(f"STREAM.DELETE.{PROBE}")


async def _last(js: JetStream) -> dict[str, int]:
    return {
        stream["config"]["name"]: stream["state"]["last_seq"]
        async for stream in _streams(js)
        if registers.saga_of_stream(stream["config"]["name"]) and stream["config"]["num_replicas"] == 1
    }


async def _streams(js: JetStream) -> AsyncIterator[JsonObject]:
    offset = 0
    while True:
        page = await js.api("STREAM.LIST", {"offset": offset})
        for stream in page["streams"] or ():
            yield stream
        offset += page["limit"]
        if offset >= page["total"]:
            return
