"""ports.Log on JetStream: puts, reads, and who lives on the connection."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Self

from msgspec import json
from nats.aio.msg import Msg

from sagamesh.distribution.buckets import SIDECARS_BUCKET, bucket_prefix
from sagamesh.distribution.topology import MAX_MESSAGE
from sagamesh.errors import UnavailableError
from sagamesh.log.codec import Message
from sagamesh.protocol.attempt import WriteRefused
from sagamesh_jetstream.client import replies
from sagamesh_jetstream.client.connection import NatsConnection, Timing
from sagamesh_jetstream.client.listener import Heard, Listener
from sagamesh_jetstream.client.requests import Requests
from sagamesh_jetstream.client.server_time import Clock
from sagamesh_sidecar import message_limits
from sagamesh_sidecar.adapters.nats.puller import Puller
from sagamesh_sidecar.ports import Accept, Guard, Subscription

HEARTBEATS = bucket_prefix(SIDECARS_BUCKET)
"""For display: who has no right to write there works as well."""
PAGE = 256
"""Messages asked for at once, where there may be very many: a quarter of the server's own limit of 1024."""
READS = 8
"""Reads under way at once, of a sidecar: the server hangs up on whoever is 64 MiB behind, and to ask again for what was
half read would only bring it there again."""
MAX_READ = 4 * 1024 * 1024
"""Bytes of one answer: of all reads at once half of what the server bears. What is more is read in parts."""


class NatsLog:
    """The log at `url` (several: separated by commas), between `start` and `close`, or inside of `async with`.

    `name` is what the server's operator sees. `inbox_prefix` is where replies go: a user with few rights has one of its
    own. `directory`: of a login in files, as `sagamesh_jetstream.client.login` describes it; `login` goes to nats-py's
    `connect` as it is: `user`, `password`, `user_credentials`, `tls` and the like.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str,
        directory: str = "",
        inbox_prefix: str = "_INBOX",
        max_message: int = MAX_MESSAGE,
        timing: Timing = Timing(),  # noqa: B008 - frozen
        **login: Any,
    ) -> None:
        login["inbox_prefix"] = inbox_prefix
        self._connection = NatsConnection(
            url, self._probe, name=name, timing=timing, first_login=login, directory=directory, spared=HEARTBEATS
        )
        self._requests = Requests(self._connection, timing.reply)
        self._reads = asyncio.Semaphore(READS)
        self._clock = Clock()
        self._max_message = max_message
        self._timing = timing

    async def start(self) -> None:
        """Returns when connected, or soon: a server that is not there yet is waited for in the background."""
        await self._connection.attach(self._requests)
        await self._connection.start()

    async def close(self) -> None:
        """Soon, hence not the place to wait for deliveries: handlers that still run are cancelled."""
        for puller in self._pullers():
            await puller.abort()
        await self._connection.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def connected(self) -> bool:
        return self._connection.connected

    @property
    def connections(self) -> int:
        return self._connection.opened

    @property
    def locked_out(self) -> str:
        """Why the login is not taken, while there is no connection; empty: it is, or something else is wrong."""
        return self._connection.locked_out

    @property
    def refused(self) -> str:
        """What the server has lately refused for want of rights; empty: nothing."""
        return self._connection.refused

    def now(self) -> float:
        return self._clock.now()

    async def put(
        self, subject: str, headers: Mapping[str, str], body: bytes, *, guard: Guard | None = None
    ) -> int | WriteRefused:
        sent = dict(headers)
        if guard is not None:
            sent["Nats-Expected-Last-Subject-Sequence"] = str(guard.sequence)
            sent["Nats-Expected-Last-Subject-Sequence-Subject"] = guard.subject
        message_limits.check(
            subject, sent, body, min(self._max_message, self._connection.max_payload or self._max_message)
        )
        try:
            reply = await self._requests.ask(subject, body, sent)
        except UnavailableError:
            return WriteRefused.UNKNOWN
        return replies.put_result(subject, sent, reply.data)

    async def read(self, stream: str, subjects: Sequence[str]) -> tuple[Message, ...]:
        if not subjects:
            return ()
        if len(subjects) == 1 and _is_literal(subjects[0]):  # cheaper, and a right of its own
            message_limits.check_subject(subjects[0])
            async with self._reads:
                answered = [await self._requests.ask(f"$JS.API.DIRECT.GET.{stream}.{subjects[0]}")]
        else:
            answered = await self._ask_many(stream, {"multi_last": list(subjects)})
        if (status := replies.status(answered[-1].headers)) is not None:
            headers = answered.pop().headers or {}
            if status == replies.TOO_MANY or (status == replies.READ_ENDED and _left(headers)):
                return await self._read_in_parts(stream, subjects)
            replies.check_read(stream, status, headers)
        return tuple(replies.direct_message(message.headers or {}, message.data) for message in answered)

    async def _read_in_parts(self, stream: str, subjects: Sequence[str]) -> tuple[Message, ...]:
        """What is more than the server gives in one answer: over 1024 messages, or too many bytes."""
        last: dict[str, Message] = {}
        for subject in subjects:
            part = self.read(stream, [subject]) if _is_literal(subject) else self.read_after(stream, subject, 0)
            last |= {message.subject: message for message in await part}
        return tuple(sorted(last.values(), key=lambda message: message.sequence))

    async def read_after(self, stream: str, subject: str, sequence: int) -> tuple[Message, ...]:
        every: list[Message] = []
        while True:
            page = {"seq": sequence + 1, "batch": PAGE, "next_by_subj": subject}
            *messages, end = await self._ask_many(stream, page)
            every += (replies.direct_message(message.headers or {}, message.data) for message in messages)
            headers = end.headers or {}
            status = replies.status(headers)
            replies.check_read(stream, status, headers)
            if status == replies.NOTHING or not messages or not _left(headers):
                return tuple(every)
            sequence = every[-1].sequence

    async def _ask_many(self, stream: str, wanted: dict[str, object]) -> list[Msg]:
        """The registers that are wanted, as far as they are no more at once than the connection bears."""
        async with self._reads:
            body = json.encode({**wanted, "max_bytes": MAX_READ})
            return await self._requests.ask_many(f"$JS.API.DIRECT.GET.{stream}", body)

    async def consume(self, stream: str, consumer: str, accept: Accept, *, slots: int) -> Subscription:
        puller = Puller(
            self._connection,
            self._requests,
            self._clock,
            (stream, consumer),
            accept,
            slots=slots,
            timing=self._timing,
        )
        await self._connection.attach(puller)
        return puller

    async def listen(self, subject: str, heard: Heard) -> None:
        await self._connection.attach(Listener(subject, heard))

    async def _probe(self) -> bool:
        """A request that any user of a consumer may send. Without one, nats-py's own pings must do."""
        for puller in self._pullers():
            await puller.inquire()
            return True
        return False

    def _pullers(self) -> list[Puller]:
        return [part for part in self._connection.parts if isinstance(part, Puller)]


def _is_literal(subject: str) -> bool:
    return not {"*", ">"}.intersection(subject)


def _left(headers: Mapping[str, str]) -> bool:
    """Whether an answer that has ended is not all that there is."""
    return headers.get("Nats-Num-Pending", "0") != "0"
