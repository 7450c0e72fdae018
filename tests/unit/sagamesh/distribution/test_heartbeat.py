"""Heartbeats, pinned as every wire format is; and who cannot be read."""

from __future__ import annotations

import pytest

from sagamesh.distribution import heartbeat
from sagamesh.distribution.heartbeat import Heartbeat
from sagamesh.errors import UnreadableError

TOLD = Heartbeat(
    namespace="shop",
    participant="orders",
    pod="orders-7d4b-x2x",
    holds={"checkout": ("5f0c9a1e77", "1b0c9a1e77"), "refund": ("77aa9a1e77",)},
    starts={"checkout": "5f0c9a1e77"},
)
GOLDEN = (
    b'{"namespace":"shop","participant":"orders","pod":"orders-7d4b-x2x","formats":[2],'
    b'"holds":{"checkout":["5f0c9a1e77","1b0c9a1e77"],"refund":["77aa9a1e77"]},"starts":{"checkout":"5f0c9a1e77"}}'
)


def test_a_heartbeat_is_written_as_it_always_was() -> None:
    assert heartbeat.encode(TOLD) == GOLDEN


def test_a_heartbeat_is_read_as_it_was_written() -> None:
    assert heartbeat.decode(GOLDEN) == TOLD


def test_fields_of_the_future_are_ignored_and_absent_ones_have_their_defaults() -> None:
    told = heartbeat.decode(b'{"namespace":"shop","participant":"orders","pod":"p","mood":{"good":true}}')
    assert told == Heartbeat(namespace="shop", participant="orders", pod="p")
    assert (told.formats, told.holds, told.starts) == ((2,), {}, {})


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b"\xff", GOLDEN[:-1], GOLDEN.replace(b"[2]", b'["2"]'), b"[" * 100_000], ids=range(7)
)
def test_other_bytes_are_no_heartbeat(body: bytes) -> None:
    with pytest.raises(UnreadableError, match="this is no heartbeat"):
        heartbeat.decode(body)
