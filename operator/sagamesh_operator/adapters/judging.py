"""The port `Judge` by a process of its own: whatever a spec does to it, the operator's loop goes on.

A spec that keeps it busy for too long, or breaks it, is refused with a word and a sentence, and the next one gets a new
process. How specs are judged is `sagas.acceptance`'s affair; `judging_worker`, beside this, is what the process runs.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from sagamesh.durations import text
from sagamesh.errors import UnavailableError
from sagamesh_operator.adapters.judging_worker import LENGTH
from sagamesh_operator.sagas.acceptance import Acceptance, broken, too_expensive

logger = logging.getLogger("sagamesh.operator")

DEADLINE = 30.0
"""Seconds for one spec: the worst one takes two on a slow machine, and a pod may get a tenth of one."""
TRIES = 2
"""Processes that may break over a spec: the first may have been killed because memory is short on the node."""
WORKER = (sys.executable, "-m", "sagamesh_operator.adapters.judging_worker")


class JudgingProcess:
    """One process, one spec at a time; it is started when the first one comes. `deadline`: in seconds."""

    def __init__(self, *, deadline: float = DEADLINE, command: Sequence[str] = WORKER) -> None:
        self._deadline = deadline
        self._command = command
        self._turn = asyncio.Lock()
        self._process: Process | None = None

    async def __call__(self, document: Mapping[str, Any]) -> Acceptance:
        """Whatever the document holds. Raises UnavailableError where no process can be had."""
        async with self._turn:
            for _ in range(TRIES):
                try:
                    return await asyncio.wait_for(self._judge(document), self._deadline)
                except TimeoutError:
                    logger.warning("checking a saga took over %s, and was given up", text(self._deadline))
                    return too_expensive(f"over {text(self._deadline)}")
                except (EOFError, ConnectionError) as error:
                    logger.warning("the process that checks sagas has ended: %s", error)
            return broken()

    async def _judge(self, document: Mapping[str, Any]) -> Acceptance:
        process = self._process or await self._start()
        self._process = None  # unless it answers, nobody else may get this answer
        try:
            assert process.stdin
            assert process.stdout
            question = msgspec.json.encode(document)
            process.stdin.write(LENGTH.pack(len(question)) + question)
            await process.stdin.drain()
            (length,) = LENGTH.unpack(await process.stdout.readexactly(LENGTH.size))
            answer = msgspec.json.decode(await process.stdout.readexactly(length), type=Acceptance)
            self._process = process
        finally:
            if self._process is None:
                await _end(process)
        return answer

    async def _start(self) -> Process:
        try:  # in a session of its own: Ctrl-C at a terminal is for the operator
            return await asyncio.create_subprocess_exec(*self._command, stdin=PIPE, stdout=PIPE, start_new_session=True)
        except OSError as error:
            raise UnavailableError(f"no process for checking sagas: {error}") from error

    async def close(self) -> None:
        if self._process is not None:
            await _end(self._process)


async def _end(process: Process) -> None:
    if process.returncode is None:
        process.kill()  # it holds nothing
    await process.wait()


@asynccontextmanager
async def judging() -> AsyncIterator[JudgingProcess]:
    """Ended with whoever uses it."""
    process = JudgingProcess()
    try:
        yield process
    finally:
        await process.close()
