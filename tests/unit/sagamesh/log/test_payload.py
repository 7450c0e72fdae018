"""Whatever bytes come in, wherever they are decoded: they are refused by name, and end nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec import Raw

from sagamesh.distribution import heartbeat
from sagamesh.errors import EventError, SagameshError, UnreadableError
from sagamesh.log import codec, payload
from sagamesh.log.registers import OUTCOME, Instance
from sagamesh.protocol import binding, cloudevents, variables
from sagamesh.rules.codec import decode_rules

NO_JSON, NO_UTF8, TOO_DEEP = b"{", b'"\xff"', b"[" * 100_000
SUBJECT = Instance("shop", "checkout", "i").subject(OUTCOME)
READERS: dict[Callable[[bytes], object], type[SagameshError]] = {
    payload.read: EventError,
    heartbeat.decode: UnreadableError,
    decode_rules: UnreadableError,
    variables.decoded: UnreadableError,
    lambda body: codec.decode(codec.Message(SUBJECT, {}, body, 1, 0.0)): UnreadableError,
    lambda body: cloudevents.parse({"content-type": "application/cloudevents+json"}, body): EventError,
    lambda body: cloudevents.parse({"content-type": "application/cloudevents-batch+json"}, body): EventError,
}


@pytest.mark.parametrize("body", [NO_JSON, NO_UTF8, TOO_DEEP], ids=["no JSON", "no UTF-8", "too deep"])
@pytest.mark.parametrize(("decode", "error"), READERS.items())
def test_what_cannot_be_decoded_is_refused(
    decode: Callable[[bytes], object], error: type[SagameshError], body: bytes
) -> None:
    with pytest.raises(error):
        decode(body)


HALVES = [b'"\\ud800"', b'{"a": "x\\uD83D"}', b'{"a": "\\ud800x", "b": 1}', b'{"\\ud800": 1}', b'{"a": "\\udc00"}']


@pytest.mark.parametrize("body", HALVES, ids=repr)
def test_half_of_a_surrogate_pair_is_called_that(body: bytes) -> None:
    with pytest.raises(EventError, match=r"^not JSON: a string holds half of a surrogate pair, which is no character$"):
        payload.read(body)
    with pytest.raises(EventError, match="expected an object: a string holds half of a surrogate pair"):
        binding.decode(body, dict[str, Raw], "an object")


@pytest.mark.parametrize(
    "body", [b'{"a": "\\ud83d\\ude00', b'["\\\\ud800", NaN]', b'["\\u00e9", NaN]', b'"\\ud8', b"{"], ids=repr
)
def test_what_else_is_wrong_is_told_in_the_decoder_s_words(body: bytes) -> None:
    with pytest.raises(EventError, match=r"truncated|malformed"):
        payload.read(body)
