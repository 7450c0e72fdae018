"""What an app's answer means: the two tables, row by row."""

from __future__ import annotations

import msgspec
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
    is_miswired,
    judge_action,
    judge_compensation,
)

PATH = "/credit/reserve"
BODY = b'{"detail": "because"}'
DONE = Success(Raw(BODY))
UNDONE = Success(NULL)


def told(status: int) -> str:
    return f"POST /credit/reserve answered {status}: {'is the path right? It says: ' * (status == 404)}because"


def not_yet(status: int) -> Again:
    return Again("refused", told(status))


def refused(status: int) -> Refusal:
    return Refusal("because", told(status))


def unknown(status: int) -> Again:
    return Again("unknown", told(status))


def partial(status: int) -> Again:
    return Again("unknown", f"POST /credit/reserve answered {status}: no whole answer")


ASYNCHRONOUS = "asynchronous steps are not built yet; answer 200 when the work is done"
ACTION: dict[int, AnswerMeaning] = {
    **dict.fromkeys((200, 201, 204), DONE),
    202: Again("unknown", f"POST /credit/reserve answered 202: {ASYNCHRONOUS}"),
    **{status: partial(status) for status in (100, 103, 199, 203, 205, 206, 207, 208, 226, 299)},
    **{status: not_yet(status) for status in (404, 408, 409, 425, 429)},
    **{status: not_yet(status) for status in (300, 301, 302, 303, 304, 307, 308, 399, 401, 405, 406, 407, 415)},
    **{
        status: refused(status)
        for status in (400, 402, 403, 410, 411, 412, 413, 414, 416, 417, 418, 421, 422, 423, 424)
    },
    **{status: refused(status) for status in (426, 428, 431, 451, 499)},
    503: Away(),
    **{status: unknown(status) for status in (500, 501, 502, 504, 505, 507, 511, 599, 600, 999)},
}

COMPENSATION: dict[int, AnswerMeaning] = {
    **dict.fromkeys((200, 201, 203, 204, 205, 206, 207, 226, 299, 410), UNDONE),
    202: Again("unknown", "POST /credit/reserve answered 202: not undone yet"),
    503: Away(),
    **{status: unknown(status) for status in (199, 300, 301, 302, 304, 307, 400, 401, 403, 404, 405, 408, 409, 415)},
    **{status: unknown(status) for status in (422, 425, 429, 499, 500, 501, 502, 504, 599, 600)},
}

UNREACHED: list[tuple[Answer, AnswerMeaning]] = [
    (Away(), Away()),
    (Unanswered("reset"), Again("unknown", "POST /credit/reserve: reset")),
    (Unanswered("no answer within 5 s"), Again("unknown", "POST /credit/reserve: no answer within 5 s")),
]


def of_action(given: Answer) -> AnswerMeaning:
    return judge_action(given, PATH)


def of_compensation(given: Answer) -> AnswerMeaning:
    return judge_compensation(given, PATH)


def answer(status: int, body: bytes = BODY, **headers: str) -> Answered:
    return Answered(status, {name.replace("_", "-"): value for name, value in headers.items()}, body)


@pytest.mark.parametrize(("status", "verdict"), ACTION.items())
def test_a_status_that_answers_an_action_means_one_thing(status: int, verdict: AnswerMeaning) -> None:
    assert of_action(answer(status)) == verdict


@pytest.mark.parametrize(("status", "verdict"), COMPENSATION.items())
def test_a_status_that_answers_a_compensation_means_one_thing(status: int, verdict: AnswerMeaning) -> None:
    assert of_compensation(answer(status)) == verdict


@pytest.mark.parametrize(("given", "verdict"), UNREACHED, ids=str)
def test_no_answer_to_an_action_is_unknown_unless_nobody_listens(given: Answer, verdict: AnswerMeaning) -> None:
    assert of_action(given) == verdict


@pytest.mark.parametrize(("given", "verdict"), UNREACHED, ids=str)
def test_no_answer_to_a_compensation_is_unknown_unless_nobody_listens(given: Answer, verdict: AnswerMeaning) -> None:
    assert of_compensation(given) == verdict


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
    verdict = of_action(answer(429, retry_after=header))
    assert verdict == Again("refused", told(429), seconds)


@pytest.mark.parametrize("status", [307, 401, 404, 408, 409, 425, 429, 500, 502, 504])
def test_every_answer_that_asks_for_another_call_may_say_when(status: int) -> None:
    verdict = of_action(answer(status, retry_after="7"))
    assert isinstance(verdict, Again)
    assert verdict.after == 7.0


@pytest.mark.parametrize("status", [302, 400, 404, 409, 422, 429, 500])
def test_a_compensation_may_be_put_off_as_well(status: int) -> None:
    assert of_compensation(answer(status, retry_after="7")) == Again("unknown", told(status), 7.0)


def test_a_compensation_that_is_under_way_says_when_to_ask_again() -> None:
    later = Again("unknown", "POST /credit/reserve answered 202: not undone yet", 7.0)
    assert of_compensation(answer(202, retry_after="7")) == later


# -- reasons ---------------------------------------------------------------------------------------------------------

NO_WORDS = {"content_type": "text/html"}


@pytest.mark.parametrize("status", [400, 402, 403, 410, 413, 422, 451])
def test_a_refusal_is_told_in_the_app_s_words_alone(status: int) -> None:
    told = f"POST /credit/reserve answered {status}: SOLD_OUT"  # to people, where it is asked again all the same
    assert of_action(answer(status, b'{"detail": "SOLD_OUT"}')) == Refusal("SOLD_OUT", told)


def test_a_refusal_without_words_names_call_and_status() -> None:
    bare = "POST /credit/reserve answered 422"
    assert of_action(answer(422, b"")) == Refusal(bare, bare)
    page = "POST /credit/reserve answered 422 (text/html): <html>no</html>"
    assert of_action(answer(422, b"<html>no</html>", **NO_WORDS)) == Refusal(page, page)


@pytest.mark.parametrize("status", [307, 404, 409, 500])
def test_who_is_asked_again_is_told_with_method_path_and_status(status: int) -> None:
    for verdict in (of_action(answer(status)), of_compensation(answer(status))):
        assert isinstance(verdict, Again)
        assert verdict.reason == told(status)


def test_where_a_redirect_leads_is_told() -> None:
    moved = "POST /credit/reserve answered 307, Location: /credit/reserve/"
    # F59: a redirect is a mistake of wiring, told with its `Location`
    assert of_action(answer(307, b"", location="/credit/reserve/")) == Again("refused", moved)
    assert of_compensation(answer(307, b"", location="/credit/reserve/")) == Again("unknown", moved)


@pytest.mark.parametrize("body", [b'{"detail": ""}', b'{"detail": " ", "title": ""}', b'{"reason": ""}', b"", b" \n"])
def test_a_reason_is_never_empty(body: bytes) -> None:
    """An empty one would pass for a mere wait, which is never parked."""
    for status in (307, 404, 422, 500):
        for verdict in (of_action(answer(status, body)), of_compensation(answer(status, body))):
            assert isinstance(verdict, Again | Refusal)
            assert f"POST /credit/reserve answered {status}" in verdict.reason


# -- mistakes of wiring ----------------------------------------------------------------------------------------------

WIRING = {*range(300, 400), 401, 405, 406, 407, 415}


@pytest.mark.parametrize("status", sorted({*ACTION, *WIRING}))
def test_what_nothing_but_a_person_will_mend_is_told_from_the_rest(status: int) -> None:
    assert is_miswired(answer(status), compensation=False) is (status in WIRING)
    assert is_miswired(answer(status), compensation=True) is (status in WIRING or status == 404)


def test_who_gives_no_answer_is_not_wired_wrongly() -> None:
    assert not is_miswired(Away(), compensation=True)
    assert not is_miswired(Unanswered("reset"), compensation=True)


# -- the data of a success -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 201, 204])
@pytest.mark.parametrize("body", [b"", b" ", b"\r\n\t "], ids=repr)
def test_an_empty_body_is_null(status: int, body: bytes) -> None:
    assert of_action(answer(status, body)) == Success(NULL)


@pytest.mark.parametrize(
    "body",
    [b'{ "b":1.50 ,\n"a": 1e3}', b"123456789012345678901234567890", b'"\\u00e9"', b"[]", b"false", b"null", b"-0.0"],
    ids=repr,
)
def test_data_are_the_bytes_of_the_body(body: bytes) -> None:
    verdict = of_action(answer(200, body))
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
        (b'"\\ud800"', "not JSON"),
        (b"[" * 100_000, f"nested more than {MAX_DEPTH} levels deep"),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), f"nested more than {MAX_DEPTH} levels deep"),
    ],
    ids=lambda value: repr(value)[:32],
)
def test_a_body_that_cannot_be_read_leaves_the_action_unknown(body: bytes, why: str) -> None:
    verdict = of_action(answer(200, body))
    assert isinstance(verdict, Again)
    assert verdict.kind == "unknown"
    assert verdict.reason.startswith(f"POST /credit/reserve answered 200, which cannot be used: {why}")


@pytest.mark.parametrize("media", ["text/html; charset=utf-8", "text/plain", "text/csv", "application/json", ""])
@pytest.mark.parametrize(
    "body",
    [
        b"<p>4111</p>",
        b"4111 1111",
        b'{"card": "4111", "score": NaN}',
        b'{"card": "4111"}{"card": "4111"}',
        b"card=4111",
    ],
    ids=repr,
)
def test_of_a_success_nothing_is_told_but_what_kind_of_body_it_has(media: str, body: bytes) -> None:
    """The app has acted, and says what came of it: that is data, however it is written."""
    said = of_action(answer(200, body, content_type=media))
    assert isinstance(said, Again)
    assert said.reason.endswith(f" ({media.partition(';')[0] or 'of no media type'})")
    assert "4111" not in said.reason


def test_of_a_refusal_in_plain_text_or_html_the_beginning_is_told_and_of_json_nothing() -> None:
    page = of_action(answer(400, b"<html>" + b"x" * 100, content_type="text/html; charset=utf-8"))
    assert isinstance(page, Refusal)
    assert page.reason.endswith(f" (text/html): <html>{'x' * 54}")
    deep = of_action(answer(200, b"[" * 65 + b'"secret"' + b"]" * 65, content_type="application/json"))
    assert isinstance(deep, Again)
    assert deep.reason.endswith("levels deep (application/json)")


@pytest.mark.parametrize("body", [b'\xef\xbb\xbf{"a": 1}', b'{"a": 1}\n', b' \r\n{"a": 1}'], ids=repr)
def test_what_stands_around_the_json_is_no_part_of_it(body: bytes) -> None:
    """A byte order mark that some libraries put before it, and blanks."""
    assert of_action(answer(200, body)) == Success(Raw(b'{"a": 1}'))


def test_a_byte_order_mark_alone_is_an_empty_body() -> None:
    assert of_action(answer(200, b"\xef\xbb\xbf")) == Success(NULL)


def test_nesting_up_to_the_limit_can_be_read() -> None:
    body = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    assert of_action(answer(200, body)) == Success(Raw(body))


def text_of(size: int) -> bytes:
    return b'"' + b"x" * (size - 2) + b'"'


def test_data_up_to_the_limit_are_taken() -> None:
    assert of_action(answer(200, text_of(MAX_DATA))) == Success(Raw(text_of(MAX_DATA)))


def test_data_over_the_limit_count_as_an_unreadable_answer() -> None:
    assert of_action(answer(200, text_of(MAX_DATA + 1))) == Again(
        "unknown", "POST /credit/reserve answered 200 with 262145 bytes; an event's data may have 262144"
    )


UNREAD = "the body of the answer is over 262144 bytes"


def test_a_success_whose_body_was_not_kept_cannot_be_used_and_all_else_needs_none() -> None:
    def unread(status: int, **headers: str) -> Answered:
        return Answered(status, headers, b"", UNREAD)

    about = "POST /credit/reserve answered"
    for status in (200, 201, 204):
        assert of_action(unread(status)) == Again("unknown", f"{about} {status}, which cannot be used: {UNREAD}")
        assert of_compensation(unread(status)) == UNDONE
    assert of_action(unread(422)) == Refusal(f"{about} 422", f"{about} 422")
    assert of_compensation(unread(410)) == UNDONE
    assert of_compensation(unread(202)) == Again("unknown", f"{about} 202: not undone yet")
    assert of_compensation(unread(500)) == Again("unknown", f"{about} 500")


def test_a_compensation_may_answer_anything_of_any_size() -> None:
    assert of_compensation(answer(200, text_of(MAX_DATA + 1))) == UNDONE
    assert of_compensation(answer(200, b"\xff not JSON")) == UNDONE


# -- the app's own choice --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 201, 204])
def test_the_app_may_choose_the_event(status: int) -> None:
    assert of_action(answer(status, b"", ce_type="order.big")) == Success(NULL, "order.big")
    assert of_action(answer(status, b"[1]", ce_type="order.big")) == Success(Raw(b"[1]"), "order.big")


@pytest.mark.parametrize("status", [400, 409, 500, 202])
def test_an_answer_that_is_no_success_chooses_nothing(status: int) -> None:
    assert not isinstance(of_action(answer(status, ce_type="order.big")), Success)


def test_a_compensation_chooses_nothing() -> None:
    assert of_compensation(answer(200, ce_type="order.big")) == UNDONE


CHOICES = {
    "order.big": "order.big",
    '"order.big"': "order.big",
    '"order\\.big"': "order.big",
    "order%2Ebig": "order.big",
    "caf%C3%A9": "café",
    '""': None,
    "": None,
}


@pytest.mark.parametrize(("header", "event"), CHOICES.items())
def test_a_choice_is_read_as_the_type_of_a_start_is(header: str, event: str | None) -> None:
    """Perhaps quoted, then percent-encoded, as the HTTP binding says."""
    assert of_action(answer(200, b"", ce_type=header)) == Success(NULL, event)


@pytest.mark.parametrize(
    ("header", "why"),
    [
        ("caf%E9", "the header ce-type is not percent-encoded UTF-8"),
        ("x" * 257, "ce-type has 257 characters; an attribute may have 256"),
        ("%00", "ce-type holds a control character, or one that is no character at all"),
    ],
    ids=lambda value: value[:8],
)
def test_a_choice_that_cannot_be_read_leaves_the_action_unknown(header: str, why: str) -> None:
    verdict = of_action(answer(200, b"", ce_type=header))
    assert verdict == Again("unknown", f"POST /credit/reserve answered 200, which cannot be used: {why}")


def event(**fields: object) -> bytes:
    return msgspec.json.encode({"specversion": "1.0", "id": "1", "source": "/app", "type": "order.big", **fields})


@pytest.mark.parametrize("media", ["application/cloudevents+json", "Application/CloudEvents+JSON; charset=utf-8"])
def test_an_answer_may_be_a_structured_event(media: str) -> None:
    read = of_action(answer(200, event(data={"a": [1]}), content_type=media))
    assert read == Success(Raw(b'{"a":[1]}'), "order.big")
    assert of_action(answer(200, b"\xef\xbb\xbf" + event(), content_type=media)) == Success(NULL, "order.big")


def test_the_type_of_a_structured_event_is_the_choice_whatever_a_header_says() -> None:
    given = answer(200, event(), content_type="application/cloudevents+json", ce_type="order.small")
    assert of_action(given) == Success(NULL, "order.big")


@pytest.mark.parametrize(
    ("body", "media", "why"),
    [
        (b"", "application/cloudevents+json", "the body cannot be read; expected an event, as a JSON object"),
        (b"[]", "application/cloudevents+json", "the body cannot be read; expected an event, as a JSON object"),
        (event(type=7), "application/cloudevents+json", "type must be a string"),
        (event(data_base64="eA=="), "application/cloudevents+json", "data_base64 is not supported"),
        (event(data="x", datacontenttype="text/xml"), "application/cloudevents+json", "an event's data must be JSON"),
        (b"[]", "application/cloudevents-batch+json", "application/cloudevents-batch+json; one event is answered as"),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_a_structured_event_that_cannot_be_read_leaves_the_action_unknown(body: bytes, media: str, why: str) -> None:
    verdict = of_action(answer(200, body, content_type=media))
    assert isinstance(verdict, Again)
    assert verdict.kind == "unknown"
    assert verdict.reason.startswith(f"POST /credit/reserve answered 200, which cannot be used: {why}")


def test_an_empty_ce_type_chooses_nothing() -> None:
    assert of_action(Answered(200, {"ce-type": ""}, b"{}")) == Success(Raw(b"{}"), None)
