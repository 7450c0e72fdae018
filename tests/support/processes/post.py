"""One sidecar as a process, at which sagas are started from outside; its log, its memory, and whether it is well."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sagamesh.language.model import Action, Compensation, Emit, Saga, StartSpec, Step
from sagamesh.log import codec, registers
from sagamesh.log.registers import START, Instance
from sagamesh_cli.local.mesh import provision
from sagamesh_cli.local.sidecars import ProcessMember, Urls
from sagamesh_sidecar.adapters.nats import NatsLog
from sagamesh_sidecar.settings import SidecarSettings
from support.processes.web import Answer, ask
from support.servers.nats_server import NatsServer

MIB = 1024
"""In KiB, as the kernel counts."""
LIMIT = 256 * 1024
"""The most bytes of a body, an answer, an event's data."""
STARTED = Saga(
    namespace="shop",
    name="checkout",
    start=StartSpec(participant="orders", event="order.placed", key="event.data.orderId"),
    steps=(
        Step(
            name="charge",
            participant="payments",  # who is not there: nothing but the starts happens
            after=("order.placed",),
            action=Action(path="/charges"),
            emits=(Emit(event="charged"),),
            compensation=Compensation(path="/charges/refund"),
        ),
    ),
)


@dataclass(kw_only=True)
class Post:
    """One sidecar as a process, at which sagas are started, and its log."""

    server: NatsServer
    member: ProcessMember
    log: NatsLog
    urls: Urls

    def event(self, key: str, size: int = 0) -> bytes:
        """The event that starts an instance, with so many bytes in all."""
        event = {"specversion": "1.0", "id": key, "source": "/test", "type": "order.placed"}
        body = json.dumps(event | {"data": {"orderId": key, "note": ""}}).encode()
        return body.replace(b'"note": ""', b'"note": "%b"' % (b"x" * max(0, size - len(body))))

    async def start(self, key: str, size: int = 0) -> Answer:
        url = f"{self.urls.api}/v1/events"
        return await ask("POST", url, json.loads(self.event(key, size)), "application/cloudevents+json")

    async def stored(self, *keys: str) -> set[str]:
        """Which of these are in the log."""
        [stream] = registers.streams("shop", "checkout")
        found: set[str] = set()
        for at in range(0, len(keys), 500):
            subjects = [Instance("shop", "checkout", key).subject(START) for key in keys[at : at + 500]]
            messages = await self.log.read(stream, subjects)
            found |= {registers.parse(message.subject)[0].id for message in messages if codec.decode(message)}
        return found

    async def raw(self, request: bytes) -> bytes:
        """What comes back for these very bytes, until the sidecar ends the connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", int(self.urls.api.rpartition(":")[2]))
        try:
            writer.write(request)
            return await reader.read()
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def metric(self, name: str) -> float:
        """A metric of the sidecar, over all its labels."""
        text = (await ask("GET", f"{self.urls.health}/metrics")).text
        return sum(float(value) for value in re.findall(rf"^sagamesh_{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE))

    def memory(self, what: str = "VmRSS") -> int:
        """KiB that the sidecar takes: now, or at most so far (`VmHWM`)."""
        assert self.member.process is not None
        status = Path(f"/proc/{self.member.process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith(what)).split()[1])

    async def check(self) -> None:
        """It runs, the first one still, and does its work."""
        assert self.member.restarts == 0
        assert (await ask("GET", f"{self.urls.health}/readyz")).text == "ok\n"
        key = f"later-{secrets.token_hex(4)}"
        answer = await self.start(key)
        assert answer.status == 202, answer
        assert await self.stored(key) == {key}
        assert "Traceback" not in self.member.log.read_text()


@contextlib.asynccontextmanager
async def post(directory: Path, saga: Saga = STARTED, **settings: Any) -> AsyncIterator[Post]:
    """Everything that a sidecar needs to start `saga`, and its own steps where it has any. Its app: `settings`."""
    async with contextlib.AsyncExitStack() as stack:
        server = NatsServer(directory / "nats")
        stack.enter_context(server)
        await provision(server.url, [saga])
        log = await stack.enter_async_context(NatsLog(server.url, name="test"))
        named = {"namespace": "shop", "participant": "orders", "nats": server.url, "pod": "orders-1"}
        free = {"api_port": 0, "health_port": 0, "health_host": "127.0.0.1"}
        member = ProcessMember(SidecarSettings(**named | free | settings), directory)
        stack.push_async_callback(member.stop)
        yield Post(server=server, member=member, log=log, urls=await member.start())
