"""A wire between a client and its server, for everything that networks do: slow, cut, silent, forgetful.

A fault befalls the connections that there are; those that come later are sound, unless the wire is `cut` or `slow`.
Chance comes from a seed. What a NATS server sends is taken apart into its messages, so that one of them can be lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Iterator


class Wire:
    """Listens at `url` and passes on to one server, between `opened` and its end; `scheme`: what they talk."""

    def __init__(self, seed: int = 0, scheme: str = "nats") -> None:
        self.url = ""
        self.connections = 0
        """How many there were."""
        self.lost: list[bytes] = []
        """The replies that were lost."""
        self._random = random.Random(seed)
        self._scheme = scheme
        self._port = 0
        self._links: set[_Link] = set()
        self._cut = False
        self._latency = self._jitter = 0.0
        self._losing = 0

    @contextlib.asynccontextmanager
    async def opened(self, port: int) -> AsyncIterator[None]:
        """Lead to the server at this port of this machine."""
        self._port = port
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.url = f"{self._scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield
        finally:
            server.close()
            self.cut()
            while self._links:
                await asyncio.sleep(0)

    def cut(self) -> None:
        """End every connection, and every one that comes, until `mend`."""
        self._cut = True
        for link in tuple(self._links):
            link.abort()

    def freeze(self, *, there: bool = True, back: bool = True) -> None:
        """Pass nothing on any more, in one direction or both, and keep the sockets: nobody is told."""
        for link in self._links:
            for lane, silent in ((link.there, there), (link.back, back)):
                if silent:
                    lane.flows.clear()

    @property
    def open(self) -> int:
        """How many connections there are, counting those whose client is gone but has not been heard out."""
        return len(self._links)

    def held(self) -> bytes:
        """What clients have said and the server has not heard."""
        return b"".join(link.there.held() for link in self._links)

    def thaw(self) -> None:
        """Pass on what was held back, though its sender may be gone by now."""
        for link in self._links:
            link.there.flows.set()
            link.back.flows.set()

    def slow(self, latency: float, jitter: float = 0.0) -> None:
        """Hold each chunk for so many seconds, in each direction; never out of order."""
        self._latency, self._jitter = latency, jitter

    def lose_confirmations(self, count: int) -> None:
        """Lose the next replies of the log that say that something was stored."""
        self._losing = count

    def mend(self) -> None:
        self._cut, self._losing = False, 0
        self.slow(0.0)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self._cut:
                raise ConnectionRefusedError
            back, there = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            writer.transport.abort()
            return
        self.connections += 1
        said = _Said(self._keeps).take if self._scheme == "nats" else _whole
        link = _Link(there=_Lane(reader, there, _whole, self._delay), back=_Lane(back, writer, said, self._delay))
        self._links.add(link)
        await link.ended()
        self._links.discard(link)

    def _delay(self) -> float:
        return self._latency + self._random.uniform(0, self._jitter)

    def _keeps(self, message: bytes) -> bool:
        """Whether what the server says arrives."""
        confirms = message.startswith(b"MSG ") and b'"seq":' in message and b'"error":' not in message
        if not (self._losing and confirms):
            return True
        self._losing -= 1
        self.lost.append(message)
        return False


def _whole(chunk: bytes) -> Iterator[bytes]:
    yield chunk


class _Said:
    """What a NATS server says, in messages, of which only some arrive."""

    def __init__(self, keeps: Callable[[bytes], bool]) -> None:
        self._keeps = keeps
        self._rest = b""

    def take(self, chunk: bytes) -> Iterator[bytes]:
        self._rest += chunk
        while size := self._size():
            message, self._rest = self._rest[:size], self._rest[size:]
            if self._keeps(message):
                yield message

    def _size(self) -> int:
        """Of the first message, if it is here as a whole: one line, and after `MSG` and `HMSG` as much as that says."""
        end = self._rest.find(b"\r\n") + 2
        if end < 2:
            return 0
        line = self._rest[:end]
        if line.startswith((b"MSG ", b"HMSG ")):
            end += int(line.split()[-1]) + 2
        return end if end <= len(self._rest) else 0


class _Lane:
    """One direction of one connection. `flows`: whether anything is passed on just now."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        split: Callable[[bytes], Iterator[bytes]],
        delay: Callable[[], float],
    ) -> None:
        self.flows = asyncio.Event()
        self.flows.set()
        self.writer = writer
        self._reader = reader
        self._split = split
        self._delay = delay
        self._held: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    def held(self) -> bytes:
        return b"".join(chunk for _, chunk in self._held._queue)  # type: ignore[attr-defined]

    async def take(self) -> None:
        """Take what is sent, whether or not anything is passed on."""
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):
            while data := await self._reader.read(65536):
                for chunk in self._split(data):
                    self._held.put_nowait((loop.time() + self._delay(), chunk))
        self._held.put_nowait((0.0, b""))

    async def give(self) -> None:
        """Pass it on, up to the last of it, though its sender may be gone by then."""
        loop = asyncio.get_running_loop()
        while True:
            due, chunk = await self._held.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            await self.flows.wait()
            if not chunk:
                return
            self.writer.write(chunk)


class _Link:
    """A connection: it ends when everything has arrived that one side had to say."""

    def __init__(self, there: _Lane, back: _Lane) -> None:
        self.there = there
        self.back = back
        self._giving = [asyncio.create_task(lane.give()) for lane in (there, back)]
        self._taking = [asyncio.create_task(lane.take()) for lane in (there, back)]

    async def ended(self) -> None:
        await asyncio.wait(self._giving, return_when=asyncio.FIRST_COMPLETED)
        for task in (*self._giving, *self._taking):
            task.cancel()
        for lane in (self.there, self.back):
            lane.writer.close()

    def abort(self) -> None:
        for lane in (self.there, self.back):
            lane.writer.transport.abort()
        for task in self._giving:
            task.cancel()
