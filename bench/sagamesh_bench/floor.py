"""The floor: a participant that carries out a script, with the I/O of a sidecar and nothing else.

The same clients for NATS and for the app, the same server for the start; no rules, no decision, no metrics, no leases.

    python -m sagamesh_bench.floor FLOOR_FILE
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import uvloop
from msgspec import Struct, json

from sagamesh.log import registers
from sagamesh_bench.app import say_ready
from sagamesh_bench.sagas import FLOOR
from sagamesh_bench.script import Op, Script
from sagamesh_sidecar.adapters.app_client import AppClient
from sagamesh_sidecar.adapters.nats import NatsLog
from sagamesh_sidecar.ports import Guard, Lease
from sagamesh_sidecar.settings import SidecarSettings
from sagamesh_sidecar.web.asgi import Receive, Request, Response, Scope, Send, answer
from sagamesh_sidecar.web.server import Server

CONCURRENCY = SidecarSettings(namespace="", participant="").concurrency


class Floor(Struct):
    """One process. `scripts`: its part in each saga."""

    participant: str
    nats: str
    app: str
    ready_file: str
    scripts: dict[str, Script]


class Event(Struct):
    """Of an event, what a start needs."""

    id: str
    type: str


EVENT = json.Decoder(Event)


class Worker:
    """Deliveries and starts, carried out."""

    def __init__(self, floor: Floor) -> None:
        self.floor = floor
        self.log = NatsLog(floor.nats, name=floor.participant)
        self.app = AppClient(floor.app, connections=CONCURRENCY)
        self.bodies = {op.body: op.body.encode() for script in floor.scripts.values() for op in _ops(script)}

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`."""
        await self.log.start()
        server = Server(self, "127.0.0.1", 0, grace=1.0)
        server.bind()
        serving = asyncio.create_task(server.serve())
        for saga, script in self.floor.scripts.items():
            if script.deliveries:
                [stream] = registers.streams(FLOOR, saga)
                await self.log.consume(stream, self.floor.participant, self.accept, slots=CONCURRENCY)
        say_ready(Path(self.floor.ready_file), server.url)
        await stop.wait()
        server.stop()
        await serving
        await self.log.close()
        await self.app.close()

    async def accept(self, lease: Lease) -> None:
        """One delivery."""
        _, _, saga, instance, register = lease.message.subject.split(".", 4)
        place = f"saga.{FLOOR}.{saga}.{instance}."
        for op in self.floor.scripts[saga].deliveries[register]:
            await self.execute(saga, place, op)
        await lease.ack()

    async def execute(self, saga: str, place: str, op: Op) -> None:
        """One operation, whatever comes of it."""
        if op.kind == "put":
            guard = Guard(place + op.names[1], 0) if len(op.names) > 1 else None
            await self.log.put(place + op.names[0], op.headers, self.bodies[op.body], guard=guard)
        elif op.kind == "call":
            await self.app.post(op.path, op.headers, self.bodies[op.body], timeout=5.0)
        else:
            [stream] = registers.streams(FLOOR, saga)
            await self.log.read(stream, [place + name for name in op.names])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An event that starts a saga, as `POST /v1/events` of the API takes it."""
        event = EVENT.decode(await Request(scope, receive).body(1 << 18))
        saga = event.type.partition(".")[0]
        start = self.floor.scripts[saga].start
        await self.execute(saga, f"saga.{FLOOR}.{saga}.{event.id}.", start)
        await answer(send, Response(202, b'{"instances":[]}'))

    def close(self) -> None:
        """Nobody waits here."""


def _ops(script: Script) -> list[Op]:
    return [script.start, *(op for ops in script.deliveries.values() for op in ops)]


async def serve(floor: Floor) -> None:
    """Run a floor until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await Worker(floor).run(stop)


if __name__ == "__main__":
    uvloop.run(serve(json.decode(Path(sys.argv[1]).read_bytes(), type=Floor)))
