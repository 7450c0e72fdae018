"""A server's worth of streams, and the verbs of JetStream's API on them: at once, without a client and without waiting.

What a network may do to those who ask is not here: whoever simulates that stands between them and `MemoryJetStream`.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from sagamesh.errors import UnavailableError
from sagamesh.log.codec import Message
from sagamesh.text import rfc3339
from sagamesh_jetstream.client.memory import configs
from sagamesh_jetstream.client.memory.stream import MemoryStream
from sagamesh_jetstream.client.memory.subjects import matches, overlap
from sagamesh_jetstream.client.ports import JetStreamError, JsonObject

Heard = Callable[[str, bytes], None]
NO_STREAM = 10059  # the server's own code


class PageSizes(NamedTuple):
    """How much of a list one reply holds: the server's own sizes, unless a test wants to see several pages."""

    subjects: int = 100_000
    infos: int = 256
    names: int = 1024


FULL_PAGES = PageSizes()


class MemoryStreams:
    """What stands on a server. `clock`: seconds since the epoch. `servers`: that it is a cluster of."""

    def __init__(
        self, *, clock: Callable[[], float] = time.time, pages: PageSizes = FULL_PAGES, servers: int = 1
    ) -> None:
        self._clock = clock
        self._pages = pages
        self._servers = servers
        self._streams: dict[str, MemoryStream] = {}
        self._listeners: list[tuple[str, Heard]] = []

    def stream(self, name: str) -> MemoryStream | None:
        """For those who look without asking."""
        return self._streams.get(name)

    def listen(self, subject: str, heard: Heard) -> Callable[[], None]:
        """Call `heard` with subject and body of whatever is published there, until what is returned is called."""
        entry = (subject, heard)
        self._listeners.append(entry)
        return lambda: self._listeners.remove(entry)

    def publish(self, subject: str, headers: Mapping[str, str], body: bytes) -> int:
        """Store a message; its sequence. Raises JetStreamError, and UnavailableError where no stream takes it."""
        self._push(subject, body)
        stream = next((one for one in self._streams.values() if one.takes(subject)), None)
        if stream is None:
            raise UnavailableError(f"nobody at NATS takes the message {subject}")
        sequence = stream.store(f"the message {subject}", subject, headers, body)
        if pushed := stream.republished(subject):
            self._push(pushed, body)
        return sequence

    def last(self, stream: str, wanted: Sequence[str]) -> tuple[Message, ...]:
        """The last message of each of these subjects; none, where the stream is not there."""
        found = self._streams.get(stream)
        return found.last(wanted) if found and wanted else ()

    def api(self, verb: str, body: JsonObject | None = None) -> JsonObject:
        """The reply to `$JS.API.<verb>`. Raises JetStreamError; UnavailableError for a verb that nobody answers."""
        name, *rest = verb.split(".")
        kind = ".".join([name, *rest[:1]])
        asked: JsonObject = json.loads(json.dumps(body or {}))  # nobody shares an object with a server
        if kind == "STREAM.MSG":
            return self._message(verb, asked)
        answer = _VERBS.get(kind)
        if answer is None:
            raise UnavailableError(f"NATS did not answer {verb}")
        return answer(self, verb, asked)

    def _push(self, subject: str, body: bytes) -> None:
        for filter_, heard in tuple(self._listeners):
            if matches(subject, (filter_,)):
                heard(subject, body)

    # -- verbs about streams

    def _create(self, verb: str, config: JsonObject) -> JsonObject:
        configs.check_stream(verb, config, self._others(config.get("name", "")), self._servers)
        stored, there = configs.stored_stream(config), self._streams.get(config["name"])
        if there is not None and there.config != stored:
            raise JetStreamError(verb, 400, 10058, "stream name already in use with a different configuration")
        stream = self._streams.setdefault(config["name"], MemoryStream(stored, self._clock))
        return {**stream.info(), "did_create": True}

    def _update(self, verb: str, config: JsonObject) -> JsonObject:
        stream = self._stream(verb)
        configs.check_stream(verb, config, self._others(config["name"]), self._servers)
        stored = configs.stored_stream(config)
        configs.check_change_of_stream(verb, stream.config, stored)
        stream.config = stored
        return stream.info()

    def _delete(self, verb: str, _: JsonObject) -> JsonObject:
        del self._streams[self._stream(verb).config["name"]]
        return {"success": True}

    def _purge(self, verb: str, asked: JsonObject) -> JsonObject:
        return {"success": True, "purged": self._stream(verb).purge(asked.get("filter", ">"))}

    def _info(self, verb: str, asked: JsonObject) -> JsonObject:
        stream = self._stream(verb)
        info = stream.info()
        if "subjects_filter" not in asked:
            return {"total": 0, "offset": 0, "limit": 0, **info}
        found, offset, limit = stream.subjects(asked["subjects_filter"]), asked.get("offset", 0), self._pages.subjects
        if not found:
            return {"total": 0, "offset": 0, "limit": 0, **info}
        if page := found[offset : offset + limit]:
            info["state"]["subjects"] = dict.fromkeys(page, 1)
        return {"total": len(found), "offset": offset, "limit": limit, **info}

    def _list(self, _: str, asked: JsonObject) -> JsonObject:
        infos = [configs.listed(self._streams[name].info()) for name in self._named(asked)]
        return _page("streams", infos, asked, self._pages.infos)

    def _names(self, _: str, asked: JsonObject) -> JsonObject:
        return _page("streams", self._named(asked), asked, self._pages.names)

    def _message(self, verb: str, asked: JsonObject) -> JsonObject:
        stream = self._stream(verb)
        by_subject = stream.last([asked["last_by_subj"]]) if "last_by_subj" in asked else ()
        found = stream.at(asked["seq"]) if "seq" in asked else next(iter(by_subject), None)
        if found is None:
            raise JetStreamError(verb, 404, 10037, "no message found")
        time_ = rfc3339(datetime.fromtimestamp(found.time, UTC), "microseconds")
        data = {"data": base64.b64encode(found.body).decode()} if found.body else {}
        return {"message": {"subject": found.subject, "seq": found.sequence, "time": time_, **data}}

    # -- verbs about consumers

    def _create_consumer(self, verb: str, asked: JsonObject) -> JsonObject:
        stream, name, config = self._stream(verb), verb.split(".")[3], asked["config"]
        if asked["stream_name"] != stream.config["name"]:
            raise JetStreamError(verb, 400, 10056, "stream name in subject does not match request")
        configs.check_consumer(verb, config)
        stored, there, action = configs.stored_consumer(config), stream.consumers.get(name), asked.get("action")
        if there is None and action == "update":
            raise JetStreamError(verb, 400, 10149, "consumer does not exist")
        if there is not None and there != stored:
            if action == "create":
                raise JetStreamError(verb, 400, 10148, "consumer already exists")
            configs.check_change_of_consumer(verb, there, stored)
        stream.consumers[name] = stored
        return stream.consumer_info(name)

    def _consumer_info(self, verb: str, _: JsonObject) -> JsonObject:
        stream, name = self._consumer(verb)
        return stream.consumer_info(name)

    def _delete_consumer(self, verb: str, _: JsonObject) -> JsonObject:
        stream, name = self._consumer(verb)
        del stream.consumers[name]
        return {"success": True}

    def _list_consumers(self, verb: str, asked: JsonObject) -> JsonObject:
        stream = self._stream(verb)
        infos = [configs.listed(stream.consumer_info(name)) for name in sorted(stream.consumers)]
        return _page("consumers", infos, asked, self._pages.infos)

    def _consumer_names(self, verb: str, asked: JsonObject) -> JsonObject:
        return _page("consumers", sorted(self._stream(verb).consumers), asked, self._pages.names)

    # -- who is meant

    def _stream(self, verb: str) -> MemoryStream:
        tokens = verb.split(".")
        name = tokens[3] if tokens[1] == "MSG" else tokens[2]
        if name not in self._streams:
            raise JetStreamError(verb, 404, NO_STREAM, "stream not found")
        return self._streams[name]

    def _consumer(self, verb: str) -> tuple[MemoryStream, str]:
        stream, name = self._stream(verb), verb.split(".")[3]
        if name not in stream.consumers:
            raise JetStreamError(verb, 404, 10014, "consumer not found")
        return stream, name

    def _others(self, name: str) -> list[JsonObject]:
        return [one.config for other, one in self._streams.items() if other != name]

    def _named(self, asked: JsonObject) -> list[str]:
        wanted = asked.get("subject", ">")
        taken = {name for name, one in self._streams.items() if any(overlap(s, wanted) for s in one.config["subjects"])}
        return sorted(taken)

    def _account(self, _: str, __: JsonObject) -> JsonObject:
        consumers = sum(len(one.consumers) for one in self._streams.values())
        return {"streams": len(self._streams), "consumers": consumers}


def _page(what: str, every: Sequence[object], asked: JsonObject, limit: int) -> JsonObject:
    offset = min(asked.get("offset", 0), len(every))
    return {"total": len(every), "offset": offset, "limit": limit, what: list(every[offset : offset + limit])}


_VERBS: Mapping[str, Callable[[MemoryStreams, str, JsonObject], JsonObject]] = {
    "INFO": MemoryStreams._account,
    "STREAM.CREATE": MemoryStreams._create,
    "STREAM.UPDATE": MemoryStreams._update,
    "STREAM.DELETE": MemoryStreams._delete,
    "STREAM.PURGE": MemoryStreams._purge,
    "STREAM.INFO": MemoryStreams._info,
    "STREAM.LIST": MemoryStreams._list,
    "STREAM.NAMES": MemoryStreams._names,
    "CONSUMER.CREATE": MemoryStreams._create_consumer,
    "CONSUMER.INFO": MemoryStreams._consumer_info,
    "CONSUMER.DELETE": MemoryStreams._delete_consumer,
    "CONSUMER.LIST": MemoryStreams._list_consumers,
    "CONSUMER.NAMES": MemoryStreams._consumer_names,
}
