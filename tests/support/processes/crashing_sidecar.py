"""The real sidecar as a process that can be told to die: `kill -9` before or after any of its operations. For tests.

Takes its settings from the environment, as the real one does, and more from its arguments: `board`, the directory
through which a test speaks to it; `ack_wait` in seconds, since nobody wants to wait ten for a redelivery; and `haste`:
how much sooner than the real one it takes a server for dead.

- `<board>/plans/<instance>` holds `<participant> <before|after> <operation>`: there it dies, once; the plan is then
  renamed to `<instance>.done`.
- `<board>/<participant>.operations` gets a line `<instance> <operation>` before each operation.
- `<board>/<participant>.deaths` gets the exit status of each life.

A life is a fork of this process, which has imported everything: a restart costs milliseconds. It comes at once, on the
same ports.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import msgspec
import uvloop

import sagamesh_sidecar.app
from sagamesh.log import registers
from sagamesh.log.registers import Name
from sagamesh.protocol.attempt import Fetch, Given, Operation, Pause, Put
from sagamesh_sidecar import json_logging
from sagamesh_sidecar.adapters.nats import NatsLog, Timing
from sagamesh_sidecar.deliveries.executor import Executor
from sagamesh_sidecar.deliveries.work import Work
from sagamesh_sidecar.ports import Accept, Lease, Subscription
from sagamesh_sidecar.process import serve
from sagamesh_sidecar.settings import SidecarSettings, from_environment

PR_SET_PDEATHSIG = 1


class Board:
    """What the test asks for, and what it gets to know."""

    def __init__(self, directory: Path, participant: str) -> None:
        self.plans = directory / "plans"
        self.participant = participant
        self.operations = (directory / f"{participant}.operations").open("a", buffering=1)

    def before(self, instance: str, operation: str) -> None:
        self.operations.write(f"{instance} {operation}\n")
        self._die_if_planned(instance, "before", operation)

    def after(self, instance: str, operation: str) -> None:
        self._die_if_planned(instance, "after", operation)

    def _die_if_planned(self, instance: str, when: str, operation: str) -> None:
        plan = self.plans / instance
        try:
            planned = plan.read_text()
        except FileNotFoundError:
            return
        if planned == f"{self.participant} {when} {operation}":
            plan.rename(plan.with_name(f"{instance}.done"))
            os.kill(os.getpid(), signal.SIGKILL)


def words(work: Work, operation: Operation) -> str:
    """An operation's name, the same in every run: markers without the sequence of their delivery."""
    match operation:
        case Put(name=name, absent=None):
            return f"put {_dotted(name)}"
        case Put(name=name, absent=Name() as awaited):
            return f"prove by {name.step} that {_dotted(awaited)} is absent"
        case Fetch(names=names):
            return f"fetch for {work.step or '_'}: {' '.join(map(_dotted, names))}"
        case Pause():
            return "pause"
    return f"call {work.step} {operation.kind}"


def _dotted(name: Name) -> str:
    return ".".join(name)


def mortal_executor(board: Board) -> type[Executor]:
    class MortalExecutor(Executor):
        async def execute(self, work: Work, operation: Operation) -> Given:
            name = words(work, operation)
            board.before(work.instance.id, name)
            given = await super().execute(work, operation)
            board.after(work.instance.id, name)
            return given

    return MortalExecutor


class MortalLease:
    """A lease whose ack may be the last thing that is done, or just not done."""

    def __init__(self, lease: Lease, board: Board) -> None:
        self.lease = lease
        self.board = board
        self.message, self.delivered = lease.message, lease.delivered
        self.nak, self.in_progress = lease.nak, lease.in_progress

    async def ack(self) -> None:
        instance, name = registers.parse(self.message.subject)
        self.board.before(instance.id, f"ack {_dotted(name)}")
        await self.lease.ack()
        self.board.after(instance.id, f"ack {_dotted(name)}")


def mortal_log(board: Board, haste: float) -> type[NatsLog]:
    timing = Timing(**{name: seconds / haste for name, seconds in asdict(Timing()).items()})

    class MortalLog(NatsLog):
        def __init__(self, url: str, *, name: str, directory: str) -> None:
            super().__init__(url, name=name, directory=directory, timing=timing)

        async def consume(self, stream: str, consumer: str, accept: Accept, *, slots: int) -> Subscription:
            return await super().consume(stream, consumer, lambda lease: accept(MortalLease(lease, board)), slots=slots)

    return MortalLog


def live(settings: SidecarSettings, board: Board, haste: float) -> None:
    """One life."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    json_logging.configure(settings.log_level, json_logging.JsonFormatter(pod=settings.pod))
    composition: Any = sagamesh_sidecar.app
    composition.Executor = mortal_executor(board)
    composition.NatsLog = mortal_log(board, haste)
    uvloop.run(serve(settings))


class Keeper:
    """Starts one life after another until SIGTERM, which ends the last one in order."""

    def __init__(self, settings: SidecarSettings, directory: Path, haste: float) -> None:
        self.settings = settings
        self.haste = haste
        self.directory = directory
        self.stopping = False
        self.child = 0

    def run(self) -> int:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        signal.signal(signal.SIGTERM, self._stop)
        status = 0
        while not self.stopping:
            self.child = os.fork()
            if not self.child:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
                live(self.settings, Board(self.directory, self.settings.participant), self.haste)
                os._exit(0)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
            status = os.waitstatus_to_exitcode(os.waitpid(self.child, 0)[1])
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
            with (self.directory / f"{self.settings.participant}.deaths").open("a") as deaths:
                deaths.write(f"{status}\n")
            self._keep_ports()
        return status

    def _stop(self, *_: object) -> None:
        self.stopping = True
        os.kill(self.child, signal.SIGTERM)

    def _keep_ports(self) -> None:
        try:
            urls = msgspec.json.decode(Path(self.settings.ready_file).read_bytes())
        except FileNotFoundError:  # it died before it was ready
            return
        api, health = (int(urls[name].rpartition(":")[2]) for name in ("api", "health"))
        self.settings = replace(self.settings, api_port=api, health_port=health)


def main(arguments: Sequence[str]) -> int:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    board, ack_wait, haste = Path(arguments[0]), float(arguments[1]), float(arguments[2])
    (board / "plans").mkdir(parents=True, exist_ok=True)
    return Keeper(replace(from_environment(), ack_wait=ack_wait), board, haste).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
