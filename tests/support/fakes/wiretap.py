"""JetStream in memory with somebody on the wire, who writes down what is asked, comes in before it, or cuts it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from sagamesh.errors import UnavailableError
from sagamesh.log.codec import Message
from sagamesh_jetstream.client.memory import MemoryJetStream, MemoryStreams
from sagamesh_jetstream.client.ports import JsonObject


class Wiretap(MemoryJetStream):
    """The port `JetStream`. `away`: nothing comes through.

    `asked`: verbs of the API, subjects of messages, and `last 3` where three subjects are read. `before`: what somebody
    does before each of them, who may also raise what the server shall say.
    """

    def __init__(self, streams: MemoryStreams) -> None:
        super().__init__(streams)
        self.streams = streams
        self.asked: list[str] = []
        self.away = False
        self.before: Callable[[str], Awaitable[object] | None] = lambda asked: None

    def before_first(self, kind: str, come_in: Callable[[], Awaitable[object]]) -> None:
        """Come in once, before the first request that begins so."""

        def before(asked: str) -> Awaitable[object] | None:
            if not asked.startswith(kind):
                return None
            self.before = lambda asked: None
            return come_in()

        self.before = before

    async def api(self, verb: str, body: JsonObject | None = None) -> JsonObject:
        await self._pass(verb)
        return await super().api(verb, body)

    async def publish(self, subject: str, body: bytes) -> int:
        await self._pass(subject)
        return await super().publish(subject, body)

    async def last(self, stream: str, subjects: Sequence[str]) -> tuple[Message, ...]:
        await self._pass(f"last {len(subjects)}")
        return await super().last(stream, subjects)

    async def _pass(self, asked: str) -> None:
        self.asked.append(asked)
        if self.away:
            raise UnavailableError("NATS is away")
        if come_in := self.before(asked):
            await come_in
