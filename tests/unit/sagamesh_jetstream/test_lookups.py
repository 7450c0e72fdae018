"""Questions whose answer has several pages."""

from __future__ import annotations

import asyncio

from sagamesh.distribution import buckets
from sagamesh_jetstream.client.memory import MemoryJetStream, MemoryStreams, PageSizes
from sagamesh_jetstream.upkeep.fleet import heartbeats
from sagamesh_jetstream.upkeep.lookups import ask, subjects_in


def stored(*subjects: str) -> MemoryJetStream:
    streams = MemoryStreams(pages=PageSizes(subjects=2))
    streams.api("STREAM.CREATE.S", {"name": "S", "subjects": ["s.>"]})
    for subject in subjects:
        streams.publish(subject, {}, b"")
    return MemoryJetStream(streams)


def listed(js: MemoryJetStream, wanted: str) -> list[str]:
    async def look() -> list[str]:
        first = await ask(js, "STREAM.INFO.S", {"subjects_filter": wanted})
        return await subjects_in(js, "S", wanted, first)

    return asyncio.run(look())


def test_every_page_is_read() -> None:
    js = stored(*(f"s.{n}" for n in range(5)), "s.x.y")
    assert listed(js, "s.*") == [f"s.{n}" for n in range(5)]


def test_a_page_that_is_full_is_not_the_last_one_for_that() -> None:
    assert listed(stored("s.1", "s.2"), "s.*") == ["s.1", "s.2"]


def test_what_is_not_there_has_no_subjects() -> None:
    js = MemoryJetStream(MemoryStreams())
    assert listed(js, "s.*") == []
    assert listed(stored(), "s.*") == []


class Moving(MemoryJetStream):
    """While the second page is asked for, something comes or goes."""

    def __init__(self, streams: MemoryStreams, *, come: str = "", gone: str = "") -> None:
        super().__init__(streams)
        self.streams, self.come, self.gone = streams, come, gone

    async def api(self, verb, body=None):
        if (body or {}).get("offset"):
            if self.come:
                self.streams.publish(self.come, {}, b"")
            if self.gone:
                self.streams.api("STREAM.PURGE.S", {"filter": self.gone})
            self.come = self.gone = ""
        return await super().api(verb, body)


def test_what_comes_meanwhile_is_told_once_and_what_goes_ends_nothing() -> None:
    streams = stored("s.1", "s.2", "s.3")._streams
    assert listed(Moving(streams, come="s.0"), "s.*") == ["s.1", "s.2", "s.3"]
    assert listed(Moving(streams, gone="s.>"), "s.*") == ["s.0", "s.1"]


def test_the_fleet_is_read_whole() -> None:
    async def look() -> int:
        js = MemoryJetStream(MemoryStreams(pages=PageSizes(subjects=2)))
        await js.api(f"STREAM.CREATE.{buckets.SIDECARS_STREAM}", buckets.sidecars_bucket())
        for pod in "abcde":
            await js.publish(buckets.heartbeat_subject("shop", "orders", pod), b"{}")
        return len(await heartbeats(js))

    assert asyncio.run(look()) == 5
