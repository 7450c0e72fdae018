"""A process that is stopped and goes on later: what it writes then is not sent by the client that it had."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

from sagamesh.distribution import topology
from sagamesh_jetstream.client.session import connect
from support.processes.stage import run
from support.servers.nats_server import NatsServer, stand_still

[STREAM] = topology.streams("t", "s")
GAP = 0.5
"""Seconds: so long the child may stand still. The product bears thirty."""
WRITER = f"""
import asyncio, json, sys
from sagamesh_sidecar.adapters.nats import NatsLog, Timing

async def main():
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async with NatsLog(sys.argv[1], name="writer", timing=Timing(watch=0.05, gap={GAP})) as log:
        while name := (await lines.readline()).decode().strip():
            result = await log.put(f"saga.t.s.{{name}}", {{}}, b"x")
            print(json.dumps([str(result), log.connections]), flush=True)

asyncio.run(main())
"""
"""Writes a register for each line that it is given, and says what came of it, and how many clients it has had."""


async def write(child: asyncio.subprocess.Process, name: str) -> None:
    assert child.stdin is not None
    child.stdin.write(f"{name}\n".encode())
    await child.stdin.drain()


async def said(child: asyncio.subprocess.Process) -> Any:
    assert child.stdout is not None
    return json.loads(await child.stdout.readline())


async def stored(child: asyncio.subprocess.Process, name: str) -> int:
    """Have it written again until it stands; the number of clients by then."""
    while True:
        await write(child, name)
        result, clients = await said(child)
        if result != "WriteRefused.UNKNOWN":
            return int(clients)


def test_what_a_process_writes_after_it_stood_still_is_not_sent(tmp_path: Path) -> None:
    async def scenario() -> None:
        with NatsServer(tmp_path) as server:
            async with connect(server.url) as js:
                await js.api(f"STREAM.CREATE.{STREAM['name']}", STREAM)
                child = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-c",
                    WRITER,
                    server.url,
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                )
                try:
                    clients = await stored(child, "a")
                    stand_still(child.pid)
                    await write(child, "b")  # it has been told to write before it was stopped, for all that it knows
                    await asyncio.sleep(2 * GAP)
                    child.send_signal(signal.SIGCONT)
                    assert (await said(child))[0] == "WriteRefused.UNKNOWN"
                    assert await js.last(STREAM["name"], ["saga.t.s.b"]) == (), "it was not sent"
                    assert await stored(child, "c") > clients, "by another client"
                    assert len(await js.last(STREAM["name"], ["saga.t.s.c"])) == 1
                finally:
                    child.kill()
                    await child.wait()

    run(scenario())
