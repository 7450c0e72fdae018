"""Clients that are too many, too large or too slow, at a real sidecar: who is not served is told; it stays small."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
import time
from collections import Counter
from collections.abc import Awaitable
from pathlib import Path

import pytest

from sagamesh_sidecar.web.bounded_protocol import CONNECTIONS
from support.processes.post import LIMIT, MIB, Post, post
from support.processes.stage import run, until
from support.processes.web import Answer, ask, burst, post_of


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

    async def flood(on: Post, turn: int) -> dict[tuple[int, str], int]:
        url, keys = f"{on.urls.api}/v1/events", [f"flood-{turn}-{n}" for n in range(number)]
        requests = [post_of(url, on.event(key), "application/cloudevents+json") for key in keys]
        answers = await asyncio.to_thread(burst, url, requests)
        outcomes = [(answer.status, answer.body.get("code", "")) if answer else (0, "") for answer in answers]
        counts = Counter(outcomes)
        assert set(counts) <= {(202, ""), (503, "busy")}, counts
        assert counts[202, ""] >= CONNECTIONS
        taken = {key for key, (status, _) in zip(keys, outcomes, strict=True) if status == 202}
        assert await on.stored(*keys) == taken
        return counts

    async def scenario() -> None:
        async with post(tmp_path) as on:
            await on.check()
            memory = [on.memory()]
            for turn in (1, 2):
                counts = await flood(on, turn)
                memory.append(on.memory("VmHWM"))
            told = [f"{kib / MIB:.0f}" for kib in (*memory, on.memory())]
            report.append(f"{number} starts at once: {counts}; MiB before, at most, again, after: {', '.join(told)}")
            assert memory[1] - memory[0] < 100 * MIB
            assert memory[2] - memory[1] < 20 * MIB, "once more of the same takes no more"
            await on.check()

    run(scenario(), 240)


@pytest.mark.of_its_kind
def test_large_events_while_the_log_hangs_do_not_fill_the_memory(tmp_path: Path, report: list[str]) -> None:
    """Whatever waits for the log waits with its body in hand: there is room for so many, the rest comes again."""
    number = 200
    allow_files(number + 500)

    async def scenario() -> None:
        async with post(tmp_path) as on:
            await on.check()
            before = on.memory()
            on.server.pause()
            keys = [f"large-{n}" for n in range(number)]
            starts = [asyncio.create_task(outcome(on.start(key, LIMIT))) for key in keys]
            fit = 64  # in 16 MiB
            await until(lambda: sum(start.done() for start in starts) >= number - fit)
            on.server.resume()
            outcomes = await asyncio.gather(*starts)
            counts, peak = Counter(outcomes), on.memory("VmHWM")
            report.append(
                f"{number} starts of 256 KiB: {dict(counts)}; {before / MIB:.0f} MiB, {peak / MIB:.0f} at most"
            )
            assert set(counts) <= {(202, ""), (503, "busy"), (503, "start-unknown")}, counts
            assert counts[503, "busy"] >= number - fit
            assert peak - before < 150 * MIB
            taken = {key for key, (status, _) in zip(keys, outcomes, strict=True) if status == 202}
            assert await on.stored(*keys) >= taken
            await on.check()

    run(scenario(), 120)


class Sloth:
    """A client that sends what it is given, and then neither more, nor reads anything."""

    def __init__(self, url: str, sent: bytes) -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.connect(("127.0.0.1", int(url.rpartition(":")[2])))
        self.socket.setblocking(False)
        self.sent = sent
        with contextlib.suppress(BlockingIOError):
            self.socket.send(sent)

    def close(self) -> None:
        self.socket.close()


def test_clients_that_do_nothing_hold_nobody_up_for_long(tmp_path: Path, full: bool) -> None:
    """They may take all the places there are, but not keep them: who is idle makes room after 2 s, the rest in 30."""
    head = b"POST /v1/events HTTP/1.1\r\nhost: localhost\r\n"
    kinds = [b"", head, head[:20]]
    if full:
        kinds = [head + b"content-length: 9\r\n\r\n{", b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n" * 15]
    allow_files(4_000)

    async def scenario() -> None:
        async with post(tmp_path) as on:
            await on.check()
            sloths = [Sloth(url, kinds[n % len(kinds)]) for n in range(600) for url in (on.urls.api, on.urls.health)]
            try:
                assert await outcome(on.start("meanwhile")) in ((503, "busy"), (202, ""))
                began = time.monotonic()
                for url in (on.urls.api, on.urls.health):
                    while (await ask("GET", f"{url}/readyz")).status == 503:
                        await asyncio.sleep(0.1)
                assert time.monotonic() - began < (60 if full else 20)
                await on.check()
            finally:
                for sloth in sloths:
                    sloth.close()

    run(scenario(), 120)
