"""What JetStream's API says: an answer, a no, or nothing that JetStream would say."""

from __future__ import annotations

import pytest

from sagamesh.errors import UnavailableError
from sagamesh.protocol.attempt import WriteRefused
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


HEADERS = {"saga-origin": "r-1;7;1.0;rev;pod;a", "traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}
FIELDS = {"saga": "checkout", "instance": "o-1", "step": "book", "run": "r-1", "trace_id": "a" * 32}
SUBJECT = "saga.shop.checkout.o-1.book.end"


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (b'{"card":"4242', f"{SUBJECT}: a reply that is none, of 13 bytes"),
        (
            b'{"error":{"err_code":10023,"description":"insufficient resources"}}',
            f"{SUBJECT} was not stored: insufficient resources (10023)",
        ),
    ],
)
def test_a_register_that_was_not_stored_is_told_of_without_what_it_holds(
    reply: bytes, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever listens on its subject may answer with what was sent."""
    assert replies.put_result(SUBJECT, HEADERS, reply) is WriteRefused.UNKNOWN
    [line] = caplog.records
    assert line.getMessage() == told
    assert (FIELDS | {"subject": SUBJECT}).items() <= vars(line).items()


def test_what_is_no_register_is_told_of_by_its_subject(caplog: pytest.LogCaptureFixture) -> None:
    replies.put_result("$KV.a.b", {}, b"-")
    [line] = caplog.records
    assert vars(line)["subject"] == "$KV.a.b"
    assert not FIELDS.keys() & vars(line).keys()
