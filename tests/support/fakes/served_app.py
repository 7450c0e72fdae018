"""The sidecar's web server around an app of the test: how it is started, asked byte by byte, and what a refusal is."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

from sagamesh_sidecar.web.asgi import AsgiApp, Receive, Response, Scope, Send, answer
from sagamesh_sidecar.web.server import Server


class Slow:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.go = asyncio.Event()
        self.closed = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked.set()
        await self.go.wait()
        await answer(send, Response(200, b"done", "text/plain"))

    def close(self) -> None:
        self.closed = True


@contextlib.asynccontextmanager
async def serving(app: AsgiApp, *, grace: float = 5.0, also: str = "") -> AsyncIterator[Server]:
    server = Server(app, "127.0.0.1", 0, grace=grace, also=also)
    server.bind()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(server.serve())
        try:
            yield server
        finally:
            server.stop()


async def exchange(server: Server, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        writer.write(request)
        return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


def refused(answer: bytes) -> tuple[int, str, str]:
    """Status, code and detail of a problem."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head
    problem = json.loads(body)
    assert int(head.split()[1]) == problem["status"]
    return problem["status"], problem["code"], problem["detail"]
