"""An app whose every byte a test decides: it says when an answer comes, and what it looks like on the wire."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit


class Call(NamedTuple):
    path: str
    headers: Mapping[str, str]
    data: Any

    @property
    def instance(self) -> str:
        return self.headers["saga-id"]


Script = Callable[[Call], Awaitable[bytes]]
KEPT = "Connection: keep-alive"
"""A header of an answer after which the connection stays open."""


def http(status: int = 200, body: bytes = b"{}", *headers: str, length: int | None = None) -> bytes:
    """An answer. `length`: the one that it claims to have."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body) if length is None else length}", *headers]
    return "\r\n".join([*lines, "\r\n"]).encode() + body


class ScriptedApp:
    """Answers each call as `script` says, then closes the connection unless that is KEPT. `calls` are what came."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.calls: list[Call] = []
        self.url = ""

    def paths(self, instance: str) -> list[str]:
        """What was called for an instance, in order."""
        return [call.path for call in self.calls if call.instance == instance]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answer = KEPT.encode()
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while KEPT.encode() in answer:
                answer = await self._answer(reader)
                writer.write(answer)
                await writer.drain()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader) -> bytes:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        body = await reader.readexactly(int(headers["content-length"]))
        call = Call(head[0].split()[1], headers, json.loads(body))
        self.calls.append(call)
        return await self.script(call)


async def forward(url: str, call: Call) -> bytes:
    """The answer of a service to a call, as it came."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    body = json.dumps(call.data).encode()
    key = call.headers["idempotency-key"]
    head = (f"POST {call.path} HTTP/1.1", f"Idempotency-Key: {key}", f"Content-Length: {len(body)}")
    writer.write("\r\n".join([*head, "Connection: close", "\r\n"]).encode() + body)
    try:
        return (await reader.read()).replace(b"\r\n", f"\r\n{KEPT}\r\n".encode(), 1)
    finally:
        writer.close()


@contextlib.asynccontextmanager
async def scripted(script: Script) -> AsyncIterator[ScriptedApp]:
    async with serving(ScriptedApp(script)) as app:
        yield app


@contextlib.asynccontextmanager
async def serving(app: ScriptedApp) -> AsyncIterator[ScriptedApp]:
    """The app, on a port of its own."""
    server = await asyncio.start_server(app.serve, "127.0.0.1", 0)
    app.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield app
