"""What sentences are made of."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from sagamesh import text


@pytest.mark.parametrize("name", ["a", "0", "a-b", "a--b", "9a", "a" * 63])
def test_a_label(name: str) -> None:
    assert text.is_label(name)


@pytest.mark.parametrize("name", ["", "-", "-a", "a-", "A", "a.b", "a_b", "ä", "a\n", "a" * 64, "\u0661"])
def test_no_label(name: str) -> None:
    assert not text.is_label(name)


@pytest.mark.parametrize(
    ("longest", "shown"), [(9, "123456789"), (10, "123456789"), (8, "12345..."), (4, "1..."), (3, "...")]
)
def test_what_is_too_long_ends_in_dots(longest: int, shown: str) -> None:
    assert text.shortened("123456789", longest) == shown


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        ("", ""),
        ("a", "a"),
        ("abcde", "a, b, c, d, e"),
        ("abcdef", "a, b, c, d, e and 1 more"),
        ("abcdefgh", "a, b, c, d, e and 3 more"),
    ],
)
def test_the_first_and_how_many_more(names: str, shown: str) -> None:
    assert text.listed(iter(names)) == shown
    assert text.listed("abc", 2) == "a, b and 1 more"


@pytest.mark.parametrize(("names", "shown"), [("a", "a"), ("ab", "a or b"), ("abc", "a, b or c")])
def test_a_series(names: str, shown: str) -> None:
    assert text.series(iter(names), "or") == shown
    assert text.series("xyz", "and") == "x, y and z"


@pytest.mark.parametrize(("number", "shown"), [(0, "0 steps"), (1, "1 step"), (2, "2 steps"), (21, "21 steps")])
def test_things_are_counted(number: int, shown: str) -> None:
    assert text.counted(number, "step") == shown


@pytest.mark.parametrize("digits", ["0", "7", "007", "9" * 10_000])
def test_digits(digits: str) -> None:
    assert text.is_digits(digits)


@pytest.mark.parametrize("other", ["", " 1", "-1", "1.0", "1e3", "1_0", "\u0661", "\u00b2"])
def test_no_digits(other: str) -> None:
    assert not text.is_digits(other)
    assert text.whole(other, 0, 9) is None


@pytest.mark.parametrize(
    ("digits", "number"),
    [("0", None), ("1", 1), ("60", 60), ("007", 7), ("0" * 10_000 + "8", 8), ("61", None), ("9" * 10_000, None)],
)
def test_a_whole_number_within_its_bounds(digits: str, number: int | None) -> None:
    assert text.whole(digits, 1, 60) == number
    assert text.whole("000", 0, 60) == 0


@pytest.mark.parametrize(
    ("timespec", "shown"),
    [
        ("auto", "2026-01-31T12:00:00.123456Z"),
        ("seconds", "2026-01-31T12:00:00Z"),
        ("milliseconds", "2026-01-31T12:00:00.123Z"),
        ("microseconds", "2026-01-31T12:00:00.123456Z"),
    ],
)
def test_a_moment_is_told_in_utc(timespec: str, shown: str) -> None:
    moment = datetime(2026, 1, 31, 12, 0, 0, 123456, UTC)
    assert text.rfc3339(moment, timespec) == shown
    assert text.rfc3339(moment.astimezone(timezone(timedelta(hours=-5))), timespec) == shown
    assert text.rfc3339(datetime(2026, 1, 31, tzinfo=UTC)) == "2026-01-31T00:00:00Z"


def test_what_was_meant_is_guessed() -> None:
    guesses = text.Guesses()
    assert guesses.of("credit.reservd", ["stock.reserved", "credit.reserved", "credit.denied"]) == "credit.reserved"
    assert guesses.of("nothing-like-it", ["stock.reserved"]) is None
    assert guesses.of("a", []) is None


def test_guessing_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Among thousands of long names that are alike, one guess takes many seconds."""
    monkeypatch.setattr(text, "MOST_COMPARED", 40)
    guesses = text.Guesses()
    assert guesses.of("abc", ["abd", "xyz"]) == "abd"
    assert guesses.of("abc", ["abd", "xyz"]) == "abd"
    assert guesses.of("abc", ["abd"]) is None
    assert text.Guesses().of("abcd", ["abcde", "abcdf"]) is None
    assert text.Guesses().of("abc", ["abd", "xyz"] * 2) == "abd"


@pytest.mark.parametrize(
    ("reason", "kept"),
    [
        ("", ""),
        ("x" * 500, "x" * 500),
        ("x" * 501, "x" * 497 + "..."),
        ("\U0001f4b8" * 9999, "\U0001f4b8" * 497 + "..."),
    ],
)
def test_a_reason_has_at_most_500_characters(reason: str, kept: str) -> None:
    assert text.cut(reason) == kept
