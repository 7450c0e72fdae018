"""A service that answers at once, for all participants: as little work as an HTTP server can do.

python -m sagamesh_bench.app READY_FILE
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import cast

import httptools
import uvloop

from sagamesh_bench.sagas import REFUSE
from sagamesh_bench.script import BODY
from sagamesh_sidecar.adapters.files import write_whole

DONE = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY)
PROBLEM = b'{"detail":"sold out"}'
REFUSED = b"HTTP/1.1 422 No\r\ncontent-type: application/problem+json\r\ncontent-length: %d\r\n\r\n%b" % (
    len(PROBLEM),
    PROBLEM,
)


class ScriptedService(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.parser = httptools.HttpRequestParser(self)
        self.url = b""

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self.url = url

    def on_message_complete(self) -> None:
        self.transport.write(REFUSED if self.url == REFUSE.encode() else DONE)


def say_ready(file: Path, url: str) -> None:
    """Where this process listens, for `rig.Process`: the file is there when it is whole."""
    write_whole(file, url.encode())


async def serve(ready: Path, service: type[ScriptedService]) -> None:
    """Serve until the process is ended."""
    server = await asyncio.get_running_loop().create_server(service, "127.0.0.1", 0, backlog=512)
    say_ready(ready, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(Path(sys.argv[1]), ScriptedService))
