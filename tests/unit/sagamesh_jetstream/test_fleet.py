"""Who lives and what it holds, by what was heard."""

from __future__ import annotations

import asyncio
import base64
import logging

import pytest
from msgspec.structs import replace

from sagamesh.distribution import buckets, heartbeat
from sagamesh.distribution.heartbeat import Heartbeat
from sagamesh_jetstream.client.memory.subjects import matches
from sagamesh_jetstream.client.ports import JetStreamError, JsonObject
from sagamesh_jetstream.upkeep.fleet import Fleet, read_fleet

ONE = Heartbeat(namespace="shop", participant="orders", pod="orders-1", holds={"checkout": ("a", "b")})
TWO = replace(ONE, pod="orders-2", holds={"checkout": ("a",)})
OTHER = replace(ONE, participant="payments", pod="payments-1")


def subject(told: Heartbeat) -> str:
    return buckets.heartbeat_subject(told.namespace, told.participant, told.pod)


def hear(fleet: Fleet, told: Heartbeat, at: float = 0.0) -> Heartbeat | None:
    return fleet.hear(subject(told), heartbeat.encode(told), at)


@pytest.fixture
def fleet() -> Fleet:
    fleet = Fleet()
    for told in (TWO, ONE, OTHER):
        assert hear(fleet, told) == told
    return fleet


def test_those_of_a_participant_are_counted(fleet: Fleet) -> None:
    assert fleet.of("shop", "orders") == (ONE, TWO)
    assert fleet.of("shop", "kitchen") == fleet.of("bar", "orders") == ()
    assert fleet.count("shop", "orders", "checkout", "a") == (2, 2)
    assert fleet.count("shop", "orders", "checkout", "b") == (2, 1)
    assert fleet.count("shop", "orders", "refund", "a") == (2, 0)
    assert fleet.count("shop", "kitchen", "checkout", "a") == (0, 0)


def test_only_what_changes_anything_is_given_back(fleet: Fleet) -> None:
    assert hear(fleet, ONE, 30) is None
    newer = replace(ONE, starts={"checkout": "b"})
    assert hear(fleet, newer, 31) == newer
    assert fleet.hear(subject(ONE), b"", 32) == newer
    assert fleet.hear(subject(ONE), b"", 33) is None
    assert fleet.of("shop", "orders") == (TWO,)


def test_who_is_silent_is_forgotten(fleet: Fleet) -> None:
    hear(fleet, ONE, 60)
    assert fleet.expire(89.9) == ()
    assert set(map(subject, fleet.expire(90))) == {subject(TWO), subject(OTHER)}
    assert fleet.of("shop", "orders") == (ONE,)
    assert fleet.expire(100, ttl=40) == (ONE,)
    assert hear(fleet, ONE, 101) == ONE


def test_an_old_heartbeat_that_comes_late_does_not_age_anybody(fleet: Fleet) -> None:
    hear(fleet, ONE, 60)
    hear(fleet, ONE, 10)
    assert ONE not in fleet.expire(100)


@pytest.mark.parametrize("body", [b"nonsense", heartbeat.encode(TWO)], ids=["nonsense", "of-another"])
def test_what_cannot_be_read_is_told_and_changes_nothing(
    fleet: Fleet, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert fleet.hear(subject(ONE), body, 1) is None
    assert subject(ONE) in caplog.text
    assert fleet.of("shop", "orders") == (ONE, TWO)


class Bucket:
    """The API of a server whose bucket holds these entries. None: it ran out between two requests."""

    def __init__(self, entries: dict[str, bytes | None] | None) -> None:
        self.entries = entries

    async def api(self, verb: str, body: JsonObject | None = None) -> JsonObject:
        assert body is not None
        if self.entries is None:
            raise JetStreamError(verb, 404, 10059, "stream not found")
        if verb == "STREAM.INFO.KV_sagamesh-sidecars":
            subjects = [s for s in self.entries if matches(s, [body["subjects_filter"]])]
            return {"state": {"subjects": dict.fromkeys(subjects, 1)} if subjects else {}}
        assert verb == "STREAM.MSG.GET.KV_sagamesh-sidecars"
        found = self.entries[body["last_by_subj"]]
        if found is None:
            raise JetStreamError(verb, 404, 10037, "no message found")
        return {"message": {"data": base64.b64encode(found).decode()} if found else {}}

    async def publish(self, subject: str, body: bytes) -> int:
        raise NotImplementedError


def test_a_bucket_is_read() -> None:
    gone, quiet = replace(ONE, pod="orders-3"), replace(ONE, pod="orders-4")
    entries = {subject(told): heartbeat.encode(told) for told in (ONE, TWO, replace(ONE, namespace="bar"))}
    fleet = asyncio.run(read_fleet(Bucket({**entries, subject(gone): b"", subject(quiet): None}), "shop"))
    assert fleet.of("shop", "orders") == (ONE, TWO)
    assert fleet.of("bar", "orders") == ()


@pytest.mark.parametrize("entries", [None, {}], ids=["no-bucket", "empty"])
def test_nobody_is_there_yet(entries: dict[str, bytes | None] | None) -> None:
    assert asyncio.run(read_fleet(Bucket(entries))).of("shop", "orders") == ()
