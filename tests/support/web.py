"""HTTP as a test needs it: one request a connection, any number at once."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any, NamedTuple
from urllib.parse import urlsplit


class Answer(NamedTuple):
    status: int
    text: str

    @property
    def body(self) -> Any:
        return json.loads(self.text)


async def ask(method: str, url: str, body: Any = None, content: str = "application/json") -> Answer:
    """The answer. Raises OSError where none came, or none that is whole."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        sent = b"" if body is None else json.dumps(body).encode()
        target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        head = f"{method} {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: {content}\r\n"
        writer.write(f"{head}Content-Length: {len(sent)}\r\nConnection: close\r\n\r\n".encode() + sent)
        await writer.drain()
        return _answer(await reader.read())
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def _answer(received: bytes) -> Answer:
    head, _, text = received.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if not status or len(text) < int(headers.get("content-length", 0)):
        raise ConnectionResetError("no whole answer came")
    return Answer(int(status.split()[1]), text.decode())
