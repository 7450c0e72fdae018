"""What JetStream's API says: an answer, a no, or nothing that JetStream would say."""

from __future__ import annotations

import pytest

from sagamesh.errors import UnavailableError
from sagamesh_jetstream.client import replies
from sagamesh_jetstream.client.ports import JetStreamError


def test_an_answer_is_given_as_it_is() -> None:
    assert replies.api_reply("INFO", b'{"type":"x","limits":{"a":-1}}') == {"type": "x", "limits": {"a": -1}}


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (b'{"error":{"code":404,"err_code":10059,"description":"stream not found"}}', (404, 10059, "stream not found")),
        (b'{"error":{"code":503}}', (503, 0, "no reason given")),
    ],
)
def test_a_no_is_told_with_both_codes(reply: bytes, expected: tuple[int, int, str]) -> None:
    with pytest.raises(JetStreamError, match=r"^NATS refused STREAM\.INFO\.x: ") as no:
        replies.api_reply("STREAM.INFO.x", reply)
    assert (no.value.code, no.value.err_code, no.value.description) == expected


@pytest.mark.parametrize("reply", [b"", b"-", b"[]", b'{"error":'])
def test_what_is_no_answer_of_jetstream_s_is_told(reply: bytes) -> None:
    with pytest.raises(UnavailableError, match=r"^what answered INFO is not JetStream: b'"):
        replies.api_reply("INFO", reply)


def test_a_read_ends_well_with_all_of_it_or_with_nothing() -> None:
    replies.check_read("S", "204", {})
    replies.check_read("S", "404", {})
    for status in ("408", "413", None):
        with pytest.raises(UnavailableError, match=f"^S cannot be read: {status} too much$"):
            replies.check_read("S", status, {"Description": "too much"})
