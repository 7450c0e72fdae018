"""One stream: its configuration, its messages in their order, and the consumers that stand on it.

Knows no other stream and no verb: `server` does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime

from sagamesh.log.codec import Message
from sagamesh.text import rfc3339
from sagamesh_jetstream.client.memory.subjects import matches
from sagamesh_jetstream.client.ports import JetStreamError, JsonObject

NANOSECONDS = 1_000_000_000  # of a second, in which JetStream counts durations
NEVER = "0001-01-01T00:00:00Z"


class MemoryStream:
    """`config`: with what the server adds. `consumers`: such ones by name. `clock`: seconds since the epoch."""

    def __init__(self, config: JsonObject, clock: Callable[[], float]) -> None:
        self.config = config
        self.consumers: dict[str, JsonObject] = {}
        self._clock = clock
        self._messages: dict[int, Message] = {}
        self._last: dict[str, int] = {}
        self._sequence = 0
        self._created = _moment(clock())

    def takes(self, subject: str) -> bool:
        """Whether what is published there is stored here."""
        return matches(subject, self.config["subjects"])

    def store(self, asked: str, subject: str, headers: Mapping[str, str], body: bytes) -> int:
        """The sequence of a new message. Raises JetStreamError: too large, or written once already."""
        longest = self.config["max_msg_size"]
        if 0 < longest < len(body):
            raise JetStreamError(asked, 400, 10054, "message size exceeds maximum allowed")
        self._expire()
        if subject in self._last and self.config["max_msgs_per_subject"] == 1:
            if self.config.get("discard_new_per_subject", False):
                raise JetStreamError(asked, 503, 10077, "maximum messages per subject exceeded")
            del self._messages[self._last[subject]]
        self._sequence += 1
        self._last[subject] = self._sequence
        at = int(self._clock() * 1_000_000) / 1_000_000  # a Message has no finer time
        self._messages[self._sequence] = Message(subject, dict(headers), bytes(body), self._sequence, at)
        return self._sequence

    def messages(self) -> tuple[Message, ...]:
        """All that it holds, in its order."""
        self._expire()
        return tuple(self._messages.values())

    def last(self, wanted: Iterable[str]) -> tuple[Message, ...]:
        """The last message of each subject that one of these takes, in the order of the stream."""
        self._expire()
        filters = tuple(wanted)
        ends = set(self._last.values())
        return tuple(m for s, m in self._messages.items() if s in ends and matches(m.subject, filters))

    def at(self, sequence: int) -> Message | None:
        """The message of that sequence."""
        self._expire()
        return self._messages.get(sequence)

    def subjects(self, wanted: str) -> list[str]:
        """The subjects that are used and that this takes."""
        self._expire()
        return sorted(subject for subject in self._last if matches(subject, (wanted,)))

    def purge(self, wanted: str) -> int:
        """Remove all messages whose subject this takes; how many there were."""
        self._expire()
        gone = [sequence for sequence, m in self._messages.items() if matches(m.subject, (wanted,))]
        for sequence in gone:
            self._remove(sequence)
        return len(gone)

    def info(self) -> JsonObject:
        """What is told of it, but for its subjects."""
        self._expire()
        first = next(iter(self._messages.values()), None)
        last = next(reversed(self._messages.values()), None)
        state = {
            "messages": len(self._messages),
            "bytes": sum(len(m.subject) + len(m.body) for m in self._messages.values()),
            "first_seq": first.sequence if first else self._sequence + (self._sequence > 0),
            "first_ts": _moment(first.time) if first else NEVER,
            "last_seq": self._sequence,
            "last_ts": _moment(last.time) if last else NEVER,
            "consumer_count": len(self.consumers),
            **({"num_subjects": len(self._last)} if self._last else {}),
        }
        return {"config": self.config, "created": self._created, "state": state, "ts": _moment(self._clock())}

    def consumer_info(self, name: str) -> JsonObject:
        """What is told of a consumer, which nobody pulls from here."""
        config = self.consumers[name]
        waiting = sum(matches(m.subject, config.get("filter_subjects", (">",))) for m in self.messages())
        nothing = {"consumer_seq": 0, "stream_seq": 0}
        return {
            "stream_name": self.config["name"],
            "name": name,
            "config": config,
            "delivered": nothing,
            "ack_floor": nothing,
            "num_ack_pending": 0,
            "num_pending": waiting,
        }

    def republished(self, subject: str) -> str | None:
        """Where what is stored is pushed, too. Both ends of `republish` are `prefix.>`."""
        republish = self.config.get("republish")
        if republish is None or not matches(subject, (republish["src"],)):
            return None
        target: str = republish["dest"].removesuffix(">")
        return target + subject.removeprefix(republish["src"].removesuffix(">"))

    def _expire(self) -> None:
        """Without a timer: whoever looks finds that what is too old has gone."""
        if age := self.config["max_age"]:
            end = self._clock() - age / NANOSECONDS
            for sequence in [sequence for sequence, m in self._messages.items() if m.time <= end]:
                self._remove(sequence)

    def _remove(self, sequence: int) -> None:
        gone = self._messages.pop(sequence)
        if self._last[gone.subject] == sequence:
            before = [m.sequence for m in self._messages.values() if m.subject == gone.subject]
            if before:
                self._last[gone.subject] = before[-1]
            else:
                del self._last[gone.subject]


def _moment(seconds: float) -> str:
    return rfc3339(datetime.fromtimestamp(seconds, UTC), "microseconds")
