"""What an answer says in words: where frameworks put them, and what is told where there are none."""

from __future__ import annotations

import pytest

from sagamesh.log.payload import MAX_DEPTH
from sagamesh.protocol.reasons import glimpse, told, words

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
    b'{"detail": [{"msg": "field required"}]}': "field required",
    b'{"detail": [{"loc": ["body", "amount"], "msg": "field required"}]}': "body.amount: field required",
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
        ({}, b"\x00\xff" + b"x" * 100, f" (of no media type): �{'x' * 59}"),
        ({}, "Ä".encode() * 100, f" (of no media type): {'Ä' * 60}"),
        ({"content-type": "x" * 99}, b"<", f" ({'x' * 57}...): <"),
        ({"content-type": "application/json"}, b'{"card": "4111"}', " (application/json)"),
        ({"content-type": "application/json"}, b'\xef\xbb\xbf{"card": "4111"}', " (application/json)"),
        ({"content-type": "application/json"}, b"[" * 50_000 + b"]" * 50_000, " (application/json)"),
        ({}, b'{"card": "4111"}', ""),
        ({"content-type": "application/json"}, b"", ""),
        ({"content-type": "text/html"}, b" \n", ""),
    ],
    ids=lambda value: repr(value)[:32],
)
def test_of_a_page_the_beginning_is_shown_and_of_json_nothing(headers: dict[str, str], body: bytes, shown: str) -> None:
    """JSON without any words is data, and data stand in no reason."""
    assert glimpse(headers, body) == shown


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
