"""Sagas at a steady rate for minutes, with a sidecar and the server killed once each in the middle.

At the end nothing may be stuck, the books must balance, and the memory of no sidecar may grow.
"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import linear_regression
from typing import Any

from msgspec import json

from sagamesh.errors import UnavailableError
from sagamesh.log import registers
from sagamesh.protocol.answers import Answered
from sagamesh_bench.ledger import BOOKS
from sagamesh_bench.load import HEADERS
from sagamesh_bench.rig import Rig, rig, rss_mib
from sagamesh_bench.sagas import NAMESPACE, SHAPES, event
from sagamesh_jetstream.client.session import connect
from sagamesh_sidecar.adapters.app_client import AppClient

EVERY = 10.0
"""Seconds between two looks: sixty in ten minutes, enough for a line through the memory of each process."""
PATIENCE = 120.0
"""Seconds after which what is not finished is stuck: as long as a step has to succeed (`within`)."""
COUNTER = "soak"
"""A consumer that nobody reads: what is pending at it are the finished instances."""
SIDECAR_DIES, SERVER_DIES, WARM = 0.3, 0.5, 0.55
"""When, as shares of the time; memory counts once caches are full again and connections are open."""
FLAT = 1.0
"""MiB that a sidecar may grow in that time: less cannot be told from chance."""
SAGAS = ("straight", "straight", "diamond", "undone")

Say = Callable[[str], object]


@dataclass
class Look:
    """What one look found. `rss`: MiB of each process, by name."""

    seconds: float
    started: int
    finished: int
    pending: int
    redelivered: int
    rss: dict[str, float]


@dataclass
class Soak:
    """One run. `started`: instances of each saga that the API has taken."""

    rig: Rig
    rate: float
    seconds: float
    say: Say
    started: Counter[str] = field(default_factory=Counter)
    looks: list[Look] = field(default_factory=list)
    begun: float = field(default_factory=time.monotonic)

    async def run(self) -> list[str]:
        """Everything that is wrong in the end."""
        api = AppClient(self.rig.apis[NAMESPACE], connections=256)
        for saga in SHAPES:
            await self._count(saga)
        async with asyncio.TaskGroup() as group:
            helpers = [group.create_task(self._look()), group.create_task(self._crash())]
            await self._start_all(api)
            left = await self._drain()
            for helper in helpers:
                helper.cancel()
        await api.close()
        return [*left, *await self._unbalanced(), *self._growing()]

    # -- what goes on

    async def _start_all(self, api: AppClient) -> None:
        """One after the other, whether those before have finished or not."""
        async with asyncio.TaskGroup() as group:
            for number, saga in enumerate(itertools.islice(itertools.cycle(SAGAS), int(self.rate * self.seconds))):
                await asyncio.sleep(max(0.0, self.begun + number / self.rate - time.monotonic()))
                group.create_task(self._start(api, saga, f"soak-{number}"))

    async def _start(self, api: AppClient, saga: str, key: str) -> None:
        """Send an event until it is taken, as its sender would."""
        while True:
            match await api.post("/v1/events", HEADERS, event(saga, key), timeout=PATIENCE):
                case Answered(status=200 | 202):
                    self.started[saga] += 1
                    return
                case Answered(status=status, body=body) if status != 503:
                    raise RuntimeError(f"a start was answered {status}: {body!r}")
            await asyncio.sleep(0.2)

    async def _crash(self) -> None:
        await asyncio.sleep(self.seconds * SIDECAR_DIES)
        status = await self.rig.sidecars["b"].kill()
        self.say(f"kill -9: the sidecar of b is gone (exit status {status}); it is started again")
        await asyncio.sleep(self.seconds * (SERVER_DIES - SIDECAR_DIES))
        self.rig.server.process.kill()
        self.rig.server.process.wait()
        self.say("kill -9: the server is gone; it is started again on its disk")
        await asyncio.to_thread(self.rig.server.start)

    async def _drain(self) -> list[str]:
        """Wait for the last ones; what did not finish."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            left = sum(self.started.values()) - sum((await self._finished()).values())
            if not left:
                return []
            await asyncio.sleep(0.5)
        return [f"{left} instances are stuck"]

    # -- what is looked at

    async def _look(self) -> None:
        titles = ("seconds", "started", "finished", "rate", "pending", "redelivered")
        names = list(self._named_pids())
        self.say("  ".join(f"{title:>11}" for title in (*titles, *(f"{name} MiB" for name in names))))
        while True:
            await asyncio.sleep(EVERY)
            try:
                look = await self._take()
            except UnavailableError:
                continue  # the server is just being started again
            rate = (look.finished - (self.looks[-1].finished if self.looks else 0)) / EVERY
            self.looks.append(look)
            figures = (
                f"{look.seconds:.0f}",
                look.started,
                look.finished,
                f"{rate:.1f}",
                look.pending,
                look.redelivered,
            )
            sizes = (f"{look.rss[name]:.1f}" for name in names)
            self.say("  ".join(f"{figure!s:>11}" for figure in (*figures, *sizes)))

    async def _take(self) -> Look:
        infos = [info for saga in SHAPES for info in await self._consumers(saga)]
        pending = sum(info["num_pending"] + info["num_ack_pending"] for info in infos)
        redelivered = sum(info["num_redelivered"] for info in infos)
        finished = sum((await self._finished()).values())
        rss = {name: rss_mib(pid) for name, pid in self._named_pids().items()}
        return Look(time.monotonic() - self.begun, sum(self.started.values()), finished, pending, redelivered, rss)

    def _named_pids(self) -> dict[str, int]:
        members = {f"sidecar {name}": member.process for name, member in self.rig.sidecars.items()}
        pids = {name: process.pid for name, process in members.items() if process is not None}
        return pids | {"server": self.rig.server.pid}

    # -- the log

    async def _api(self, verb: str, body: Any = None) -> Any:
        async with connect(self.rig.server.url, timeout=5.0) as stream:
            return await stream.api(verb, body)

    async def _consumers(self, saga: str) -> list[Any]:
        [stream] = registers.streams(NAMESPACE, saga)
        infos = (await self._api(f"CONSUMER.LIST.{stream}", {"offset": 0}))["consumers"]
        return [info for info in infos if info["name"] != COUNTER]

    async def _count(self, saga: str) -> None:
        [stream], last = registers.streams(NAMESPACE, saga), SHAPES[saga].last
        config = {
            "durable_name": COUNTER,
            "ack_policy": "none",
            "deliver_policy": "all",
            "filter_subject": registers.filter_subject(NAMESPACE, saga, last),
        }
        await self._api(f"CONSUMER.DURABLE.CREATE.{stream}.{COUNTER}", {"stream_name": stream, "config": config})

    async def _finished(self) -> dict[str, int]:
        """How many instances of each saga have their last register."""
        finished = {}
        for saga in SHAPES:
            [stream] = registers.streams(NAMESPACE, saga)
            info = await self._api(f"CONSUMER.INFO.{stream}.{COUNTER}")
            finished[saga] = int(info["num_pending"])
        return finished

    # -- what is wrong in the end

    async def _unbalanced(self) -> list[str]:
        """Every step of what was committed is done, every one of what was aborted is undone, each once."""
        books = AppClient(self.rig.app_url)
        answer = await books.post(BOOKS, {}, b"", timeout=30.0)
        await books.close()
        if not isinstance(answer, Answered):
            raise RuntimeError(f"the books cannot be read: {answer}")  # noqa: TRY004 - no mistake of a caller
        booked = json.decode(answer.body)
        expected = {
            f"{name}/{step.name}": {"undone" if name == "undone" else "done": self.started[name]}
            for name in self.started
            for step in SHAPES[name].saga.steps
        }
        wrong = [(key, booked.get(key), want) for key, want in expected.items() if booked.get(key) != want]
        return [f"the books say of {key}: {said}, and should say {want}" for key, said, want in wrong]

    def slopes(self) -> dict[str, float]:
        """MiB in an hour that each process grows, by least squares over the time when it is warm."""
        looks = [look for look in self.looks if WARM * self.seconds < look.seconds <= self.seconds]
        if len(looks) < 2:
            return {}
        hours = [look.seconds / 3600 for look in looks]
        return {name: linear_regression(hours, [look.rss[name] for look in looks]).slope for name in looks[0].rss}

    def _growing(self) -> list[str]:
        grown = {name: slope * (1 - WARM) * self.seconds / 3600 for name, slope in self.slopes().items()}
        return [
            f"{name} grew by {mib:.1f} MiB" for name, mib in grown.items() if name.startswith("sidecar") and mib > FLAT
        ]


async def soak(minutes: float, rate: float, say: Say) -> list[str]:
    """Run it; everything that is wrong in the end."""
    with tempfile.TemporaryDirectory(prefix="sagamesh-soak-") as name:
        async with rig(Path(name), floors=False, app="ledger") as built:
            run = Soak(built, rate, minutes * 60, say)
            wrong = await run.run()
    for process, slope in run.slopes().items():
        say(f"{process}: {slope:+.1f} MiB/h")
    say(f"started and finished: {dict(sorted(run.started.items()))}")
    return wrong
