"""What the relay needs of the world, as protocols. Each has a real adapter and one in memory; one suite tests both.

A log carries messages, not sagas: `sagamesh.log.codec` turns them into registers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from sagamesh.log.codec import Message
from sagamesh.protocol.answers import Answer
from sagamesh.protocol.attempt import WriteRefused


class Guard(NamedTuple):
    """A write is only taken while the last message on `subject` has this stream sequence (0: while there is none)."""

    subject: str
    sequence: int


class Lease(Protocol):
    """A delivery in hand. Acks and naks are sent and forgotten: they are an optimisation."""

    @property
    def message(self) -> Message: ...

    @property
    def delivered(self) -> int:
        """How often it was handed out so far, from 1."""
        ...

    async def ack(self) -> None: ...

    async def nak(self, delay: float) -> None:
        """Hand it out again after `delay` seconds."""
        ...

    async def in_progress(self) -> bool:
        """Restart the time after which it is handed out to somebody else. Whether the server has said that it did."""
        ...


Accept = Callable[[Lease], Awaitable[None]]


class Subscription(Protocol):
    """A pull on one consumer, kept open."""

    @property
    def problem(self) -> str:
        """Why nothing is handed out just now (the consumer was deleted, say); empty: all is well."""
        ...

    async def close(self) -> None:
        """Stop asking, and wait until everything in hand was accepted. What arrives meanwhile is nak-ed at once."""
        ...


class Log(Protocol):
    """Write-once messages in streams."""

    async def put(
        self, subject: str, headers: Mapping[str, str], body: bytes, *, guard: Guard | None = None
    ) -> int | WriteRefused:
        """Store a message; its stream sequence, or why not. Never raises for what the world does: that is UNKNOWN.

        Raises OversizedError for a message that the log will never take: see `message_limits`.
        """
        ...

    async def read(self, stream: str, subjects: Sequence[str]) -> tuple[Message, ...]:
        """The last message of each of these subjects (a wildcard may stand for many), in the order of the stream.

        What is stale or absent does not come. Raises UnavailableError.
        """
        ...

    async def read_after(self, stream: str, subject: str, sequence: int) -> tuple[Message, ...]:
        """Every message on a subject (a wildcard) after a stream sequence, in order, however many. UnavailableError."""
        ...

    async def consume(self, stream: str, consumer: str, accept: Accept, *, slots: int) -> Subscription:
        """Hand deliveries of a durable consumer to `accept`, never more than `slots` at once; `accept` never raises."""
        ...

    async def listen(self, subject: str, heard: Callable[[str, bytes], None]) -> None:
        """Call `heard` with subject and body of whatever is published there, as long as the log is open. Lossy."""
        ...

    def now(self) -> float:
        """The server's time, in seconds since the epoch: this machine's monotonic clock, set by the server's."""
        ...

    @property
    def connected(self) -> bool:
        """Whether the server answered lately."""
        ...

    @property
    def connections(self) -> int:
        """How often it was connected so far: whoever sees it grow has to do with a server that may have restarted."""
        ...


class StoreError(Exception):
    """The store cannot be read, or takes nothing just now. The text says which and why."""


class Store(Protocol):
    """A few bytes that outlive the process."""

    async def read(self) -> bytes | None:
        """What was written last; None: nothing yet. Raises StoreError."""
        ...

    async def write(self, body: bytes) -> None:
        """Take the place of what was written before: whole, or not at all. Raises StoreError."""
        ...


class App(Protocol):
    """The participant's own service."""

    async def post(self, path: str, headers: Mapping[str, str], body: bytes, *, timeout: float) -> Answer:
        """Send one request, once. Never raises for what the app or the network does: that is an Answer, too."""
        ...

    async def reachable(self, timeout: float = 1.0) -> bool:
        """Whether somebody takes a connection, within so many seconds."""
        ...
