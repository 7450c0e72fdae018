"""Keeps pulls open on one durable consumer, and hands what they bring to a handler, never too much at once.

A pull asks the server for so many messages as there are free slots, so that nothing waits unseen in this process while
its `ack_wait` runs. The server forgets pulls (a new leader, a restart), mostly without a word; then their heartbeats
stop coming, and others are sent. A forgotten pull that was not forgotten may bring more than there is room for: that
goes back at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Coroutine, Mapping
from typing import Any

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from sagamesh.errors import UnavailableError
from sagamesh.log import line_fields
from sagamesh.log.codec import Message
from sagamesh_jetstream.client import replies
from sagamesh_jetstream.client.connection import NatsConnection, Timing
from sagamesh_jetstream.client.hidden import CLOSE_TIMEOUT
from sagamesh_jetstream.client.pulse import elapsed
from sagamesh_jetstream.client.requests import Requests
from sagamesh_jetstream.client.server_time import Clock
from sagamesh_sidecar.ports import Accept

logger = logging.getLogger(__name__)

MAX_PAUSE = 5.0
"""Seconds at most between a pull that failed and the next, doubling from a fifth: elections of a leader take some."""
DRAIN_TIMEOUT = 2.0
"""Seconds for what is on its way to arrive and go back: a few round trips, where the server still answers."""
ALARM = 5
"""Pulls that failed one after the other, until that is an error and no news any more: a few seconds."""


class NatsLease:
    """ports.Lease: a message, and where its acks go. They may go over another client than it came from.

    It is lost, whatever the server says, once this process has stood still: another has it by then.
    """

    __slots__ = ("_connection", "_gaps", "_reply", "_requests", "delivered", "message")

    def __init__(self, connection: NatsConnection, requests: Requests, came: Msg) -> None:
        self._connection = connection
        self._requests = requests
        self._gaps = connection.gaps
        self._reply = came.reply
        self.message: Message
        self.message, self.delivered = replies.delivered_message(came.subject, came.reply, came.headers, came.data)

    async def ack(self) -> None:
        await self._send(replies.ACK)

    async def nak(self, delay: float) -> None:
        await self._send(replies.nak(delay))

    async def in_progress(self) -> bool:
        try:
            await self._requests.ask(self._reply, replies.IN_PROGRESS)
        except UnavailableError:
            return False
        return self._connection.gaps == self._gaps

    async def _send(self, word: bytes) -> None:
        with contextlib.suppress(UnavailableError):  # then the server hands it out again, when `ack_wait` is over
            await self._connection.publish(self._reply, word)


class Puller:
    """ports.Subscription, and a part of a connection."""

    def __init__(
        self,
        connection: NatsConnection,
        requests: Requests,
        clock: Clock,
        consumer: tuple[str, str],
        accept: Accept,
        *,
        slots: int,
        timing: Timing,
    ) -> None:
        self._connection = connection
        self._requests = requests
        self._clock = clock
        self._consumer = ".".join(consumer)
        self._accept = accept
        self._slots = slots
        self._heartbeat = timing.heartbeat
        self._limits = b'"expires":%d,"idle_heartbeat":%d}' % (timing.expires * 1e9, timing.heartbeat * 1e9)
        self._inbox = ""
        self._feed: Any = None  # nats-py's subscription to the inbox
        self._number = 0
        self._pulls: dict[int, int] = {}  # the open ones, oldest first: what they may still bring
        self._busy = 0
        self._failures = 0
        self.problem = ""
        self._heard = time.monotonic()
        self._closing = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self._watch = asyncio.create_task(self._keep_watch())

    async def close(self) -> None:
        """Let the server know that nobody is here any more, and wait for what is in hand."""
        self._closing = True
        self._watch.cancel()
        if self._feed is not None:
            with contextlib.suppress(nats.errors.Error, OSError):
                async with asyncio.timeout(DRAIN_TIMEOUT):
                    await self._feed.drain()  # what is on its way still arrives, and goes back
        while self._tasks:
            await asyncio.wait(self._tasks)
        self._connection.detach(self)

    async def abort(self) -> None:
        """End what is in hand: the server hands it out again."""
        self._closing = True
        for task in (self._watch, *self._tasks):
            task.cancel()
        await asyncio.wait([self._watch, *self._tasks], timeout=CLOSE_TIMEOUT)
        self._connection.detach(self)

    async def opened(self, client: Client) -> None:
        if self._closing:
            return
        self._inbox = client.new_inbox()  # a new one: pulls of the client before must not find us
        self._feed = await client.subscribe(
            f"{self._inbox}.*", cb=self._on_message, pending_msgs_limit=0, pending_bytes_limit=0
        )
        self._spawn(self._begin())

    def lost(self) -> None:
        self._pulls.clear()

    async def inquire(self) -> None:
        """Ask after the consumer, and learn what time it is there."""
        sent = elapsed()
        with contextlib.suppress(UnavailableError):
            reply = await self._requests.ask(f"$JS.API.CONSUMER.INFO.{self._consumer}")
            info = replies.consumer_info(reply.data)
            if info.error is not None:
                self._complain(info.error.description)
            if info.ts is not None:
                self._clock.measure(info.ts.timestamp(), sent)

    async def _begin(self) -> None:
        if not self._clock.known:  # rather wait a moment than judge the first delivery by this machine's clock
            await self.inquire()
        await self._pull()

    # Asking.

    async def _pull(self) -> None:
        """Ask for more, once half of the slots are free, or nothing was asked for. To be called when either changed."""
        free = self._slots - self._busy - sum(self._pulls.values())
        worthwhile = free * 2 > self._slots or (free > 0 and not self._pulls)
        if self._closing or not worthwhile:
            return
        if not self._pulls:
            self._heard = time.monotonic()  # so long nobody had anything to say
        self._number += 1
        self._pulls[self._number] = free
        subject, reply = f"$JS.API.CONSUMER.MSG.NEXT.{self._consumer}", f"{self._inbox}.{self._number}"
        try:
            await self._connection.publish(subject, b'{"batch":%d,' % free + self._limits, reply=reply)
        except UnavailableError:
            self._pulls.pop(self._number, None)  # the next client begins anew

    async def _keep_watch(self) -> None:
        while True:
            await asyncio.sleep(self._heartbeat / 2)
            if self._pulls and time.monotonic() - self._heard > 2 * self._heartbeat + 0.5:
                self._pulls.clear()
                self._complain("no heartbeat, pulling anew")
            await self._pull()
            if self._clock.due:
                self._spawn(self.inquire())

    # What comes. Called by nats-py: must neither raise nor wait.

    async def _on_message(self, message: Msg) -> None:
        self._heard = time.monotonic()
        if message.subject.startswith(self._inbox):
            self._on_status(int(message.subject.rpartition(".")[2]), message.headers or {})
        else:
            self._on_delivery(NatsLease(self._connection, self._requests, message))

    def _on_status(self, number: int, headers: Mapping[str, str]) -> None:
        status = replies.status(headers)
        if status == replies.HEARTBEAT:
            self._is_well()
            return
        self._pulls.pop(number, None)
        if status in (replies.NOTHING, replies.RAN_OUT):  # of time: nothing is wrong
            self._is_well()
        else:
            why = "nobody answers" if status == replies.NO_RESPONDERS else headers.get("Description", "")
            self._complain(f"a pull ended: {status} {why}")
        pause = random.uniform(0, min(MAX_PAUSE, 0.1 * 2**self._failures)) if self._failures else 0.0
        asyncio.get_running_loop().call_later(pause, lambda: self._spawn(self._pull()))

    def _complain(self, problem: str) -> None:
        """A pull failed: told once, and once more, as an error, when it goes on failing."""
        self.problem = problem
        self._failures += 1
        if self._failures == 1:
            logger.warning("consumer %s: %s", self._consumer, problem)
        elif self._failures == ALARM:
            missing = "if it was deleted, whoever distributes the saga makes it again, and nothing is lost"
            logger.error("consumer %s hands out nothing any more: %s; %s", self._consumer, problem, missing)

    def _is_well(self) -> None:
        if self._failures >= ALARM:
            logger.warning("consumer %s hands out again", self._consumer)
        self._failures, self.problem = 0, ""

    def _on_delivery(self, delivery: NatsLease) -> None:
        self._is_well()
        for number in self._pulls:  # the server serves the oldest first
            self._pulls[number] -= 1
            if not self._pulls[number]:
                del self._pulls[number]
            break
        if self._closing or self._busy >= self._slots:
            self._spawn(delivery.nak(0))
        else:
            self._spawn(self._handle(delivery))
            self._busy += 1  # only now, for there may have been no memory for it

    async def _handle(self, delivery: NatsLease) -> None:
        try:
            await self._accept(delivery)
        except Exception:
            about = line_fields.fields_of(delivery.message.subject, delivery.message.headers)
            logger.exception("the handler of deliveries raised, which it must not", extra=about)
        finally:
            self._busy -= 1
        await self._pull()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
