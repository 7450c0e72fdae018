"""What an answer says in words: where frameworks put them, and what is told where there are none."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from sagamesh.log import payload
from sagamesh.log.payload import MAX_DEPTH
from sagamesh.protocol.answers import MAX_DATA
from sagamesh.protocol.reasons import FIELDS, glimpse, kind, told, words

WORDS = {
    b'{"detail": "no credit left", "title": "Refused"}': "no credit left",
    b'{"title": "Refused"}': "Refused",
    b'{"reason": "sold out"}': "sold out",
    b'{"error": "broken"}': "broken",
    b'{"message": "INSUFFICIENT"}': "INSUFFICIENT",
    b'{"code": "SOLD_OUT"}': "SOLD_OUT",
    b'{"error": {"code": 7, "message": "no such account"}}': "no such account",
    b'{"code": "g", "error": "f", "reason": "e", "title": "d", "errors": ["c"], "message": "b", "detail": "a"}': "a",
    b'{"code": "g", "error": "f", "reason": "e", "title": "d", "errors": ["c"], "message": "b"}': "b",
    b'{"code": "g", "error": "f", "reason": "e", "title": "d", "errors": ["c"]}': "c",
    b'{"code": "g", "error": "f", "reason": "e", "title": "d"}': "d",
    b'{"code": "g", "error": "f", "reason": "e"}': "e",
    b'{"code": "g", "error": "f"}': "f",
    b'{"detail": null, "title": "Refused"}': "Refused",
    b'{"detail": " ", "title": "Refused"}': "Refused",
    b'{"detail": {}, "title": "Refused"}': "Refused",
    b'{"detail": {"why": "x", "sku": 7, "new": true, "more": [1]}, "title": "Refused"}': "why: x; sku: 7",
    b'{"detail": {"reason": "x", "sku": 7}}': "x",
    b'{"error": {"errors": [{"detail": "x"}]}}': "x",
    b'{"error": {"error": {"error": {"error": {"error": "x"}}}}}': "",
    b'{"detail": [{"msg": "field required"}]}': "field required",
    b'{"detail": [{"loc": ["body", "amount"], "msg": "field required"}]}': "body.amount: field required",
    b'{"detail": [{"loc": ["body", "a\\u001b[31m", {"card": 1}], "msg": "no"}]}': "body.a [31m: no",
    b'{"detail": [{"loc": ["body", 0, "a"], "msg": "no", "input": {"card": 1}}, {"msg": "x"}]}': "body.0.a: no; x",
    b'{"detail": ["a", "b", 1, "c", "d", "e", "f"]}': "a; b; c; d and 2 more",
    b'{"detail": [1, 2, 3, 4, 5, 6]}': "",
    b'{"errors": {"Amount": ["It is required."]}, "title": "Bad"}': "Amount: It is required.",
    b'{"errors": [{"detail": "no stock", "source": {"pointer": "/a"}}]}': "no stock",
    b'{"detail": 7}': "",
    b'{"why": "x"}': "",
    b"{}": "",
    b"[]": "",
    b'["a"]': "a",
    b'"no"': "no",
    b"null": "",
    b"7": "",
    b"": "",
    b" \n": "",
    b'{"detail": "no"': "",
    b'{"detail": "\xff"}': "",
    b'{"detail": "\\ud800"}': "",
    b'{"detail": "caf\xc3\xa9"}': "café",
    b'{"detail": "caf\\u00e9"}': "café",
    b'{"detail": "two\\nlines\\u001b[31m of\\ttext "}': "two lines [31m of text",
    b'\xef\xbb\xbf{"detail": "because"}': "because",
    b"[" * 100_000: "",
    b'{"detail": "no", "more": %s1%s}' % (b"[" * MAX_DEPTH, b"]" * MAX_DEPTH): "",
}


@pytest.mark.parametrize(("body", "said"), WORDS.items(), ids=lambda value: repr(value)[:48])
def test_words_are_found_where_frameworks_put_them(body: bytes, said: str) -> None:
    assert words({"content-type": "application/json"}, body) == said


@pytest.mark.parametrize(
    ("media", "body", "said"),
    [
        ("text/plain", b"not enough money", "not enough money"),
        ("text/plain; charset=utf-8", b" Internal Server Error\n", "Internal Server Error"),
        ("", b"sold out", "sold out"),
        ("", "ausverkauft: Äpfel".encode(), "ausverkauft: Äpfel"),
        ("text/plain", b"x" * 200, "x" * 200),
        ("text/plain", b"x" * 201, ""),
        ("text/plain", "Ä".encode() * 200, "Ä" * 200),
        ("text/plain", "💸".encode() * 200, "💸" * 200),
        ("text/plain", b" " * 800 + b"x", ""),
        ("text/plain", b"\xff", ""),
        ("text/plain", b"<html>", ""),
        ("", b"{broken", ""),
        ("", b"[broken", ""),
        ("", b'"broken', ""),
        ("text/plain", b"{'card': '4111'}", ""),
        ("text/plain", b"'card', '4111'", ""),
        ("", b"card=4111&cvv=123", ""),
        ("", b"no card = no ticket", "no card = no ticket"),
        ("text/plain", b"balance=5", "balance=5"),
        ("text/plain", b"\xef\xbb\xbfsold out", "sold out"),
        ("text/html", b"sold out", ""),
        ("application/json", b"sold out", ""),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_short_plain_text_is_somebody_s_word(media: str, body: bytes, said: str) -> None:
    assert words({"content-type": media} if media else {}, body) == said


@pytest.mark.parametrize(
    ("headers", "body", "shown"),
    [
        ({"content-type": "text/html"}, b"<html>\n<b>no</b>", " (text/html): <html> <b>no</b>"),
        ({"content-type": "text/html"}, b"\xef\xbb\xbf<p>", " (text/html): <p>"),
        ({"content-type": "text/plain"}, b"\x00\xff" + b"x" * 100, f" (text/plain): �{'x' * 59}"),
        ({"content-type": "text/plain; charset=utf-8"}, "Ä".encode() * 100, f" (text/plain): {'Ä' * 60}"),
        ({}, b"card 4111", " (of no media type)"),
        ({"content-type": "x" * 99}, b"<", f" ({'x' * 57}...)"),
        ({"content-type": "text/a\x1b[31mb"}, b"<", " (text/a [31mb)"),
        ({"content-type": "text/csv"}, b"card,cvv\n4111,123", " (text/csv)"),
        ({"content-type": "application/x-www-form-urlencoded"}, b"card=4111", " (application/x-www-form-urlencoded)"),
        ({"content-type": "application/json"}, b'{"card": "4111", "score": NaN}', " (application/json)"),
        ({"content-type": "application/json"}, b"card 4111", " (application/json)"),
        ({"content-type": "text/plain"}, b'{"card": "4111"} {"card": "4112"}', " (text/plain)"),
        ({"content-type": "text/html"}, b'[{"card": "4111"', " (text/html)"),
        ({"content-type": "text/plain"}, b'"4111" ' * 99, " (text/plain)"),
        ({"content-type": "text/plain"}, b"'4111' " * 99, " (text/plain)"),
        ({"content-type": "text/plain"}, b" \n{'card': '4111'}", " (text/plain)"),
        ({"content-type": "text/plain"}, b"4111", " (text/plain)"),
        ({"content-type": "application/json"}, b'{"card": "4111"}', " (application/json)"),
        ({"content-type": "application/json"}, b'\xef\xbb\xbf{"card": "4111"}', " (application/json)"),
        ({"content-type": "application/json"}, b"[" * 50_000 + b"]" * 50_000, " (application/json)"),
        ({}, b'{"card": "4111"}', ""),
        ({"content-type": "application/json"}, b"", ""),
        ({"content-type": "text/html"}, b" \n", ""),
    ],
    ids=lambda value: repr(value)[:32],
)
def test_of_a_page_the_beginning_is_shown_and_of_data_nothing(headers: dict[str, str], body: bytes, shown: str) -> None:
    """Whatever has no words is data, unless it is written for people; and data stand in no reason."""
    assert glimpse(headers, body) == shown
    assert kind(headers, body) == shown.partition(":")[0]


def test_the_whole_of_it() -> None:
    plain = {"content-type": "text/plain"}
    assert told("/a", 500, {}, b"") == "POST /a answered 500"
    assert told("/a", 500, plain, b"disk full") == "POST /a answered 500: disk full"
    assert told("/a", 500, {"content-type": "text/html"}, b"<p>") == "POST /a answered 500 (text/html): <p>"
    assert told("/a", 307, {"location": "/a/"}, b"") == "POST /a answered 307, Location: /a/"
    assert (
        told("/a", 302, {"location": "/login", **plain}, b"log in") == "POST /a answered 302, Location: /login: log in"
    )


def test_a_404_asks_after_the_path_and_keeps_the_words() -> None:
    assert told("/slots/relaese", 404, {}, b"") == "POST /slots/relaese answered 404: is the path right?"
    of_a_framework = told("/slots/relaese", 404, {}, b'{"detail": "Not Found"}')
    assert of_a_framework == "POST /slots/relaese answered 404: is the path right? It says: Not Found"


def test_a_long_location_leaves_room_for_the_words() -> None:
    reason = told("/a", 302, {"location": "/" + "x" * 10_000}, b'{"detail": "log in"}')
    assert len(reason) < 300
    assert reason.endswith("...: log in")


@pytest.mark.parametrize(
    ("location", "place"),
    [
        ("https://login/?session=SECRET", "https://login/"),
        ("/a/?next=/b?c", "/a/"),
        ("/a#token=SECRET", "/a"),
        ("/a;jsessionid=SECRET?b", "/a"),
        ("https://me:SECRET@host:8080/a", "https://host:8080/a"),
        ("//me:SEC@RET@host", "//host"),
        ("/users/a@b", "/users/a@b"),
        ("https://host/a@b", "https://host/a@b"),
        ("?SECRET", ""),
        ("/a\x1b[31m", "/a [31m"),
    ],
)
def test_where_a_location_points_to_is_told_without_what_lets_somebody_in(location: str, place: str) -> None:
    assert told("/a", 302, {"location": location}, b"") == f"POST /a answered 302, Location: {place}"


# -- whatever an app answers, telling it costs little ----------------------------------------------------------------


MOST = 200_000


def steps(work: Callable[[], object]) -> int:
    """How many functions of Python a piece of work calls. Very many end it, since it might never end."""
    called = 0

    def count(_frame: object, event: str, _arg: object) -> None:
        nonlocal called
        called += event == "call"
        if called > MOST:
            sys.setprofile(None)
            pytest.fail(f"more than {MOST} calls")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(before)
    return called


def search(body: bytes) -> int:
    """The steps that words are looked for in, once the body is read."""
    return steps(lambda: words({}, body)) - steps(lambda: payload.read(body))


def nested(opening: bytes, bottom: bytes, closing: bytes) -> bytes:
    return opening * (MAX_DEPTH - 1) + bottom + closing * (MAX_DEPTH - 1)


WIDE = b"".join(b'"%s": %%s, ' % field.encode() for field in FIELDS)


def wide(levels: int) -> bytes:
    """Every field, in every field, without any words."""
    bottom = b"{}"
    for _ in range(levels):
        bottom = b"{" + WIDE.replace(b"%s", bottom) + b'"more": [' + b", ".join([bottom] * 5) + b"]}"
    return bottom


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("bottom", [b"{}", b"null", b"[]", b'{"a": 1}', b'""'])
def test_words_that_are_nested_as_deep_as_may_be_are_soon_given_up(field: str, bottom: bytes) -> None:
    body = nested(b'{"%s":' % field.encode(), bottom, b"}")
    assert search(body) < 1000
    assert words({}, body) == ""


@pytest.mark.parametrize(
    "body",
    [
        wide(4),
        b'{"detail": ' + b"[" * 60 + b"1" + b"]" * 60 + b"}",
        b'{"errors": [' + b",".join([b'{"errors": [[[[]]], {"a": {"b": {}}}, {}, {}, {}]}'] * 2000) + b"]}",
        b'{"errors": {' + b",".join(b'"k%d": {"detail": {"a": {}}}' % i for i in range(5000)) + b"}}",
    ],
    ids=["all fields in all", "lists", "faults", "entries"],
)
def test_words_that_are_nowhere_are_looked_for_in_so_many_places(body: bytes) -> None:
    assert len(body) < MAX_DATA
    assert search(body) < 5000
    assert words({}, body) == ""


@pytest.mark.parametrize(
    "body",
    [
        b'{"detail": "%s"}' % (b"x" * 250_000),
        b'{"detail": [{"loc": ["%s"], "msg": "%s"}]}' % (b"x" * 100_000, b"y" * 100_000),
        b'{"detail": {"%s": 1}}' % (b"x" * 250_000),
    ],
    ids=["a sentence", "a fault", "a key"],
)
def test_of_a_long_text_no_more_is_looked_at_than_is_kept(body: bytes) -> None:
    assert search(body) < 5000
    assert 500 < len(words({}, body)) < 2500
