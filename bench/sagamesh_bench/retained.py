"""Whether a log that holds a million registers is slower than an empty one.

The registers are those of finished instances to which nobody listens any more: what stays behind in a stream that is
kept for long. They are written while the server syncs lazily, which takes half a minute; then it starts again as usual.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from sagamesh.log import registers
from sagamesh_bench.load import measure
from sagamesh_bench.rig import rig
from sagamesh_bench.sagas import NAMESPACE, SHAPES
from sagamesh_bench.script import BODY
from sagamesh_cli.local.mesh import provision
from sagamesh_cli.local.nats_server import EmbeddedServer
from sagamesh_jetstream.client.session import NatsJetStream, connect

MILLION = 1_000_000
"""Registers: what two hundred thousand finished instances leave."""
KINDS = ("b.begin", "c.begin", "c.end", "_.outcome")
"""Registers of a straight saga that no consumer waits for."""
ROUNDS = 3
"""Turns of the two servers; each figure is the median."""
AT_ONCE = 4
"""Sagas at once: few, so that it is the log that is measured, and no queue."""
BATCH = 20_000
"""Messages that are sent before it is asked whether they are stored: a few MiB, which no buffer refuses."""


class LazyServer(EmbeddedServer):
    """Syncs when it likes, which is fine for filling."""

    def _config(self) -> dict[str, Any]:
        config = super()._config()
        config["jetstream"]["sync_interval"] = "2m"
        return config


class Retained(NamedTuple):
    """p50 in seconds, from start to finish, with few sagas at once: on an empty stream, and on a full one."""

    empty: float
    full: float

    @property
    def ratio(self) -> float:
        return self.full / self.empty


async def retained(directory: Path, messages: int = MILLION) -> Retained:
    """Both servers run side by side and are measured in turn, so that a noisy machine is noisy for both."""
    full = Path(directory, "full")
    with LazyServer(full) as lazy:
        await _fill(lazy.url, messages)
    with EmbeddedServer(full) as server, tempfile.TemporaryDirectory(dir=directory) as empty:
        async with rig(full, floors=False, server=server) as second, rig(Path(empty), floors=False) as first:
            rounds = []
            for _ in range(ROUNDS):
                rounds.append([await _p50(one) for one in (first, second)])
            return Retained(*(statistics.median(column) for column in zip(*rounds, strict=True)))


async def _p50(one: Any) -> float:
    return (await measure(one, NAMESPACE, "straight", AT_ONCE, seconds=2.5)).p50


async def _fill(url: str, messages: int) -> None:
    await provision(url, [SHAPES["straight"].saga])
    async with connect(url) as js:
        for first in range(0, messages, BATCH):
            for number in range(first, min(first + BATCH, messages)):
                instance, kind = divmod(number, len(KINDS))
                await js.connection.publish(f"saga.{NAMESPACE}.straight.kept-{instance}.{KINDS[kind]}", BODY)
            await _stored(js, min(first + BATCH, messages))


async def _stored(js: NatsJetStream, messages: int) -> None:
    """Nobody asked for acks: so look how far it got."""
    [stream] = registers.streams(NAMESPACE, "straight")
    asked = f"STREAM.INFO.{stream}"
    async with asyncio.timeout(60):
        while (await js.api(asked))["state"]["messages"] < messages:
            await asyncio.sleep(0.02)
