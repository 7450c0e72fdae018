"""What an app's answer means: the two tables, row by row."""

from __future__ import annotations

import pytest
from msgspec import Raw

from sagamesh.log.payload import MAX_DEPTH
from sagamesh.log.registers import NULL
from sagamesh.protocol.answers import (
    MAX_DATA,
    Again,
    Answer,
    Answered,
    AnswerMeaning,
    Away,
    Refusal,
    Success,
    Unanswered,
    is_away,
    judge_action,
    judge_compensation,
)

BODY = b'{"detail": "because"}'
DONE = Success(Raw(BODY))
REFUSED = Refusal("because")
NOT_YET = Again("refused", "because")
UNKNOWN = Again("unknown", "because")
UNDONE = Success(NULL)

ACTION: dict[int, AnswerMeaning] = {
    200: DONE,
    201: DONE,
    204: DONE,
    202: Again("unknown", "202 Accepted: asynchronous steps are not built yet; answer 200 when the work is done"),
    203: Again("unknown", "status 203 is not an answer that can be used"),
    206: Again("unknown", "status 206 is not an answer that can be used"),
    100: Again("unknown", "status 100 is not an answer that can be used"),
    300: REFUSED,
    301: REFUSED,
    302: REFUSED,
    304: REFUSED,
    400: REFUSED,
    401: REFUSED,
    403: REFUSED,
    404: NOT_YET,
    405: REFUSED,
    408: NOT_YET,
    409: NOT_YET,
    410: REFUSED,
    422: REFUSED,
    425: NOT_YET,
    429: NOT_YET,
    499: REFUSED,
    500: UNKNOWN,
    501: UNKNOWN,
    502: UNKNOWN,
    503: Away(),
    504: UNKNOWN,
    599: UNKNOWN,
}

COMPENSATION: dict[int, AnswerMeaning] = {
    200: UNDONE,
    201: UNDONE,
    202: UNDONE,
    203: UNDONE,
    204: UNDONE,
    206: UNDONE,
    300: UNKNOWN,
    301: UNKNOWN,
    302: UNKNOWN,
    304: UNKNOWN,
    400: UNKNOWN,
    401: UNKNOWN,
    403: UNKNOWN,
    404: UNDONE,
    408: UNKNOWN,
    409: UNKNOWN,
    410: UNDONE,
    422: UNKNOWN,
    425: UNKNOWN,
    429: UNKNOWN,
    500: UNKNOWN,
    501: UNKNOWN,
    502: UNKNOWN,
    503: Away(),
    504: UNKNOWN,
    599: UNKNOWN,
}

UNREACHED: list[tuple[Answer, AnswerMeaning]] = [
    (Away(), Away()),
    (Unanswered("reset"), Again("unknown", "reset")),
    (Unanswered("no answer within 5 s"), Again("unknown", "no answer within 5 s")),
]


def answer(status: int, body: bytes = BODY, **headers: str) -> Answered:
    return Answered(status, {name.replace("_", "-"): value for name, value in headers.items()}, body)


@pytest.mark.parametrize(("status", "verdict"), ACTION.items())
def test_a_status_that_answers_an_action_means_one_thing(status: int, verdict: AnswerMeaning) -> None:
    # F59: a redirect is an answer like any other (refused)
    assert judge_action(answer(status)) == verdict


@pytest.mark.parametrize(("status", "verdict"), COMPENSATION.items())
def test_a_status_that_answers_a_compensation_means_one_thing(status: int, verdict: AnswerMeaning) -> None:
    assert judge_compensation(answer(status)) == verdict


@pytest.mark.parametrize(("given", "verdict"), UNREACHED, ids=str)
def test_no_answer_to_an_action_is_unknown_unless_nobody_listens(given: Answer, verdict: AnswerMeaning) -> None:
    assert judge_action(given) == verdict


@pytest.mark.parametrize(("given", "verdict"), UNREACHED, ids=str)
def test_no_answer_to_a_compensation_is_unknown_unless_nobody_listens(given: Answer, verdict: AnswerMeaning) -> None:
    assert judge_compensation(given) == verdict


@pytest.mark.parametrize("status", [*ACTION, *range(100, 600, 7)])
def test_only_503_says_that_the_app_is_away(status: int) -> None:
    assert is_away(answer(status)) is (status == 503)


def test_whom_nobody_answers_may_be_there() -> None:
    assert is_away(Away())
    assert not is_away(Unanswered("reset"))


# -- Retry-After -----------------------------------------------------------------------------------------------------

AFTER = {
    "0": 0.0,
    "1": 1.0,
    "5": 5.0,
    "59": 59.0,
    "60": 60.0,
    "61": 60.0,
    "86400": 60.0,
    "9" * 400: 60.0,
    "007": 7.0,
    "": 0.0,
    " ": 0.0,
    "1.5": 0.0,
    "-5": 0.0,
    "+5": 0.0,
    "1e1": 0.0,
    "inf": 0.0,
    "nan": 0.0,
    "5s": 0.0,
    "soon": 0.0,
    "٣": 0.0,
    "²": 0.0,
    "Wed, 21 Oct 2026 07:28:00 GMT": 0.0,
}


@pytest.mark.parametrize(("header", "seconds"), AFTER.items(), ids=lambda value: str(value)[:32])
def test_retry_after_counts_in_seconds_up_to_a_minute(header: str, seconds: float) -> None:
    verdict = judge_action(answer(429, retry_after=header))
    assert verdict == Again("refused", "because", seconds)


@pytest.mark.parametrize("status", [404, 408, 409, 425, 429, 500, 502, 504])
def test_every_answer_that_asks_for_another_call_may_say_when(status: int) -> None:
    verdict = judge_action(answer(status, retry_after="7"))
    assert isinstance(verdict, Again)
    assert verdict.after == 7.0


@pytest.mark.parametrize("status", [302, 400, 409, 422, 429, 500])
def test_a_compensation_may_be_put_off_as_well(status: int) -> None:
    assert judge_compensation(answer(status, retry_after="7")) == Again("unknown", "because", 7.0)


# -- reasons ---------------------------------------------------------------------------------------------------------

REASONS = {
    b'{"detail": "no credit left", "title": "Refused"}': "no credit left",
    b'{"title": "Refused"}': "Refused",
    b'{"reason": "sold out"}': "sold out",
    b'{"error": "broken"}': "broken",
    b'{"error": "d", "reason": "c", "title": "b", "detail": "a"}': "a",
    b'{"error": "d", "reason": "c", "title": "b"}': "b",
    b'{"error": "d", "reason": "c"}': "c",
    b'{"detail": null, "title": "Refused"}': "Refused",
    b'{"detail": {"why": "x"}, "title": "Refused"}': "Refused",
    b'{"detail": 7}': "status 422",
    b'{"message": "no"}': "status 422",
    b"{}": "status 422",
    b"[]": "status 422",
    b'"no"': "status 422",
    b"null": "status 422",
    b"": "status 422",
    b" \n": "status 422",
    b"<html>no</html>": "status 422",
    b'{"detail": "no"': "status 422",
    b'{"detail": "\xff"}': "status 422",
    b'{"detail": "\\ud800"}': "status 422",
    b'{"detail": "caf\xc3\xa9"}': "café",
    b'{"detail": "caf\\u00e9"}': "café",
    b'{"detail": "%s"}' % (b"x" * 600): "x" * 500,
    b"[" * 100_000: "status 422",
    b'{"detail": "no", "more": %s1%s}' % (b"[" * MAX_DEPTH, b"]" * MAX_DEPTH): "status 422",
}


@pytest.mark.parametrize(("body", "reason"), REASONS.items(), ids=lambda value: repr(value)[:48])
def test_the_problem_detail_becomes_the_reason(body: bytes, reason: str) -> None:
    assert judge_action(answer(422, body)) == Refusal(reason)


@pytest.mark.parametrize("status", [409, 500])
def test_who_is_asked_again_has_a_reason_too(status: int) -> None:
    verdict = judge_action(answer(status, b"Internal Server Error"))
    assert isinstance(verdict, Again)
    assert verdict.reason == f"status {status}"


# -- the data of a success -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 201, 204])
@pytest.mark.parametrize("body", [b"", b" ", b"\r\n\t "], ids=repr)
def test_an_empty_body_is_null(status: int, body: bytes) -> None:
    assert judge_action(answer(status, body)) == Success(NULL)


@pytest.mark.parametrize(
    "body",
    [b'{ "b":1.50 ,\n"a": 1e3}', b"123456789012345678901234567890", b'"\\u00e9"', b"[]", b"false", b"null", b"-0.0"],
    ids=repr,
)
def test_data_are_the_bytes_of_the_body(body: bytes) -> None:
    verdict = judge_action(answer(200, body))
    assert isinstance(verdict, Success)
    assert bytes(verdict.data) == body


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"done", "not JSON"),
        (b"{", "not JSON"),
        (b"{'a': 1}", "not JSON"),
        (b'{"a": 1} {"b": 2}', "not JSON"),
        (b"<html/>", "not JSON"),
        (b"NaN", "not JSON"),
        (b'"\xff"', "not JSON"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b'"\\ud800"', "not JSON"),
        (b"[" * 100_000, f"nested more than {MAX_DEPTH} levels deep"),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), f"nested more than {MAX_DEPTH} levels deep"),
    ],
    ids=lambda value: repr(value)[:32],
)
def test_a_body_that_cannot_be_read_leaves_the_action_unknown(body: bytes, why: str) -> None:
    verdict = judge_action(answer(200, body))
    assert isinstance(verdict, Again)
    assert verdict.kind == "unknown"
    assert verdict.reason.startswith(f"the body of the 200 answer is {why}")


def test_nesting_up_to_the_limit_can_be_read() -> None:
    body = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    assert judge_action(answer(200, body)) == Success(Raw(body))


def text_of(size: int) -> bytes:
    return b'"' + b"x" * (size - 2) + b'"'


def test_data_up_to_the_limit_are_taken() -> None:
    assert judge_action(answer(200, text_of(MAX_DATA))) == Success(Raw(text_of(MAX_DATA)))


def test_data_over_the_limit_count_as_an_unreadable_answer() -> None:
    assert judge_action(answer(200, text_of(MAX_DATA + 1))) == Again(
        "unknown", "the answer has 262145 bytes; an event's data may have 262144"
    )


def test_a_compensation_may_answer_anything_of_any_size() -> None:
    assert judge_compensation(answer(200, text_of(MAX_DATA + 1))) == UNDONE
    assert judge_compensation(answer(200, b"\xff not JSON")) == UNDONE


# -- the app's own choice --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 201, 204])
def test_the_app_may_choose_the_event(status: int) -> None:
    assert judge_action(answer(status, b"", ce_type="order.big")) == Success(NULL, "order.big")
    assert judge_action(answer(status, b"[1]", ce_type="order.big")) == Success(Raw(b"[1]"), "order.big")


@pytest.mark.parametrize("status", [400, 409, 500, 202])
def test_an_answer_that_is_no_success_chooses_nothing(status: int) -> None:
    assert not isinstance(judge_action(answer(status, ce_type="order.big")), Success)


def test_a_compensation_chooses_nothing() -> None:
    assert judge_compensation(answer(200, ce_type="order.big")) == UNDONE


@pytest.mark.parametrize("body", [b'{"detail": ""}', b'{"detail": " ", "title": ""}', b'{"reason": ""}'])
def test_an_empty_reason_is_none(body: bytes) -> None:
    """An empty one would pass for a mere wait, which is never parked."""
    assert judge_compensation(Answered(500, {}, body)) == Again("unknown", "status 500")


def test_an_empty_ce_type_chooses_nothing() -> None:
    assert judge_action(Answered(200, {"ce-type": ""}, b"{}")) == Success(Raw(b"{}"), None)
