"""Clients that are too many, too large or too slow, at a real sidecar: who is not served is told, and it stays small."""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sagamesh import codec, registers
from sagamesh.model import Action, Compensation, Emit, Saga, Start, Step
from sagamesh.registers import START, Instance
from sagamesh_cli.dev import provision
from sagamesh_cli.fleet import ProcessMember, Urls
from sagamesh_sidecar.adapters.nats import NatsLog
from sagamesh_sidecar.settings import Settings
from support.nats_server import NatsServer
from support.stage import run
from support.web import Answer, ask

MIB = 1024
"""In KiB, as the kernel counts."""
LIMIT = 256 * 1024
SAGA = Saga(
    namespace="shop",
    name="checkout",
    start=Start(participant="orders", event="order.placed", key="event.data.orderId"),
    steps=(
        Step(
            name="charge",
            participant="payments",  # who is not there: nothing but the starts happens
            on=("order.placed",),
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
        found: set[str] = set()
        for at in range(0, len(keys), 500):
            subjects = [Instance("shop", "checkout", key).subject(START) for key in keys[at : at + 500]]
            messages = await self.log.read(registers.stream("shop", "checkout"), subjects)
            found |= {registers.parse(message.subject)[0].id for message in messages if codec.decode(message)}
        return found

    def memory(self, what: str = "VmRSS") -> int:
        """KiB that the sidecar takes: now, or at most so far (`VmHWM`)."""
        assert self.member.process is not None
        status = Path(f"/proc/{self.member.process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith(what)).split()[1])

    async def check(self) -> None:
        """It runs, the first one still, and does its work."""
        assert self.member.restarts == 0
        assert (await ask("GET", f"{self.urls.health}/readyz")).text == "ok\n"
        key = f"later-{self.memory()}-{len(self.member.log.read_bytes())}"
        answer = await self.start(key)
        assert answer.status in (200, 202), answer
        assert await self.stored(key) == {key}
        assert "Traceback" not in self.member.log.read_text()


@contextlib.asynccontextmanager
async def post(directory: Path, **settings: Any) -> AsyncIterator[Post]:
    async with contextlib.AsyncExitStack() as stack:
        server = NatsServer(directory / "nats")
        stack.enter_context(server)
        await provision(server.url, [SAGA])
        log = await stack.enter_async_context(NatsLog(server.url, name="test"))
        named = {"namespace": "shop", "participant": "orders", "nats": server.url, "pod": "orders-1"}
        free = {"api_port": 0, "health_port": 0, "health_host": "127.0.0.1"}
        member = ProcessMember(Settings(**named | free | settings), directory)
        stack.push_async_callback(member.stop)
        yield Post(server=server, member=member, log=log, urls=await member.start())


async def outcome(answering: Awaitable[Answer]) -> tuple[int, str]:
    """Status and code of an answer; 0 where none came."""
    try:
        answer = await answering
    except OSError as error:
        return 0, type(error).__name__
    return answer.status, answer.body.get("code", "")


def allow_files(number: int) -> None:
    """Each client at once is a file of this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert hard == resource.RLIM_INFINITY or hard >= number, f"this needs `ulimit -Hn` of {number} at least"
    if soft < number:
        resource.setrlimit(resource.RLIMIT_NOFILE, (number, hard))


def test_thousands_of_starts_at_once_are_taken_or_told_to_come_again(
    tmp_path: Path, full: bool, report: list[str]
) -> None:
    number = 10_000 if full else 2_000
    allow_files(number + 500)

    async def scenario() -> None:
        async with post(tmp_path) as on:
            await on.check()
            before = on.memory()
            keys = [f"flood-{n}" for n in range(number)]
            outcomes = await asyncio.gather(*(outcome(on.start(key)) for key in keys))
            counts = Counter(outcomes)
            peak, after = on.memory("VmHWM"), on.memory()
            told = f"{before / MIB:.0f} MiB before, {peak / MIB:.0f} at most, {after / MIB:.0f} after"
            report.append(f"{number} starts at once: {dict(counts)}; {told}")
            assert set(counts) <= {(202, ""), (503, "busy")}, counts
            assert counts[202, ""] >= 500
            taken = {key for key, (status, _) in zip(keys, outcomes, strict=True) if status == 202}
            assert await on.stored(*keys) == taken
            await on.check()

    run(scenario(), 240)
