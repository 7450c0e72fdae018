"""HTTP as a test needs it: one request a connection, any number at once, or thousands at the same moment."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import selectors
import socket
from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit


class Answer(NamedTuple):
    status: int
    text: str

    @property
    def body(self) -> Any:
        return json.loads(self.text)


def post_of(url: str, body: bytes, content: str) -> bytes:
    """A POST as bytes, after which the connection is closed."""
    parts = urlsplit(url)
    head = f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: {content}\r\n"
    return f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body


def burst(url: str, requests: Sequence[bytes]) -> list[Answer | None]:
    """The answers to requests that are sent all at once, each over a connection of its own; None where none came.

    Blocks. asyncio would take seconds to open thousands of connections, and the first ones would be given up meanwhile.
    """
    address = (urlsplit(url).hostname, urlsplit(url).port)
    received = [bytearray() for _ in requests]
    with selectors.DefaultSelector() as selector:
        for number in range(len(requests)):
            client = socket.socket()
            client.setblocking(False)
            assert client.connect_ex(address) in (0, errno.EINPROGRESS)
            selector.register(client, selectors.EVENT_WRITE, number)
        while selector.get_map():
            for key, _ in selector.select():
                if not _advance(selector, key, requests[key.data], received[key.data]):
                    selector.unregister(key.fileobj)
                    key.fileobj.close()  # type: ignore[union-attr]
    return [_answer(bytes(one)) if one else None for one in received]


def _advance(selector: selectors.BaseSelector, key: selectors.SelectorKey, request: bytes, received: bytearray) -> bool:
    """Send or read; whether there is more to come."""
    client: Any = key.fileobj
    try:
        if key.events == selectors.EVENT_WRITE:
            assert client.send(request) == len(request), "it must be small"
            selector.modify(client, selectors.EVENT_READ, key.data)
            return True
        piece = client.recv(65536)
    except OSError:
        return False
    received += piece
    return bool(piece)


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
