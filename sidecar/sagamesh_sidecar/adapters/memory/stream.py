"""Messages in their order, at most one a subject. Knows its consumers only to tell them that there is more."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from sagamesh.distribution.topology import SECOND, Config
from sagamesh.log.codec import Message
from sagamesh.protocol.attempt import WriteRefused
from sagamesh_jetstream.client.memory.subjects import matches
from sagamesh_sidecar.adapters.memory.consumer import Consumer
from sagamesh_sidecar.ports import Guard


class Stream:
    """Messages in their order, at most one a subject."""

    def __init__(self, config: Config) -> None:
        self.subjects: Sequence[str] = config["subjects"]
        self.messages: dict[int, Message] = {}
        self.consumers: dict[str, Consumer] = {}
        self._sequence = 0
        self._write_once = config.get("discard_new_per_subject", False)
        self._republish: Mapping[str, str] | None = config.get("republish")
        self._last: dict[str, int] = {}

    def create_consumer(self, config: Config, available: Callable[[], bool]) -> None:
        consumer = self.consumers.setdefault(config["durable_name"], Consumer(self.messages, available))
        consumer.filters = config["filter_subjects"]
        consumer.ack_wait = config["ack_wait"] / SECOND
        consumer.pump()

    def pump(self) -> None:
        for consumer in self.consumers.values():
            consumer.pump()

    def forget_leases(self) -> None:
        for consumer in self.consumers.values():
            consumer.hand_out_again()

    def store(
        self, subject: str, headers: Mapping[str, str], body: bytes, guard: Guard | None, now: float
    ) -> int | WriteRefused:
        if guard is not None and self._last.get(guard.subject, 0) != guard.sequence:
            return WriteRefused.GUARD  # also where the register exists: the server looks at guards first
        if subject in self._last:
            if self._write_once:
                return WriteRefused.EXISTS
            del self.messages[self._last[subject]]
        self._sequence += 1
        self._last[subject] = self._sequence
        kept = {name: value.strip() for name, value in headers.items()}
        at = int(now * 1_000_000) / 1_000_000
        self.messages[self._sequence] = Message(subject, kept, bytes(body), self._sequence, at)
        return self._sequence

    def last(self, subjects: Sequence[str]) -> Iterator[Message]:
        return (message for message in self.messages.values() if matches(message.subject, subjects))

    def republished(self, subject: str) -> str | None:
        """Where a message is pushed, too. Both ends of `republish` are `prefix.>`."""
        if self._republish is None or not matches(subject, (self._republish["src"],)):
            return None
        prefix, target = self._republish["src"].removesuffix(">"), self._republish["dest"].removesuffix(">")
        return target + subject.removeprefix(prefix)
