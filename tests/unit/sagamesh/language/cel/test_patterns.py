"""How large regular expressions are: never fewer instructions than RE2 has of them, and not many more."""

from __future__ import annotations

import pytest

from sagamesh.language.cel.patterns import instructions

SIZES = [
    ("", 4),
    ("abc", 7),
    ("a.{1000}c", 8006),
    ("[ab]*a[ab]{1000}c", 1007),
    ("(.*x)+b", 17),
    ("^[A-Z]{2}[0-9]$", 5),
    ("^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$", 70),
    ("(a?){1000}b", 4005),
    ("((a{10}){10}){10}", 1224),
    ("([ab]{2,}|c{0,30}d?)+", 73),
    (r"\pL{100}", 120204),
    (r"[^\pL0-9]", 1214),
    (r"\p{Greek}+", 67),
    (r"[\x{80}-\x{10ffff}]{20}", 124),
    ("[à-\uffff]{3}", 28),
    ("(?i)k{50}", 204),
    ("(?is)straße", 16),
    (".", 12),
    (r"\W\D\S\w\d\s", 40),
    ("[[:^alpha:]]{10}", 94),
    ("[]a]{30}", 64),
    (r"[\]{}]{9}", 31),
    ("[a-z({]{40}", 84),
    (r"\Q[\E(a{10}b){10}]", 136),
    (r"\{2,3}", 9),
    ("a{,5}", 9),
    (r"\A*", 9),
    ("(a|(b|(c|d){5}){5}){5}", 469),
    (r"\x{1F600}{7}", 32),
    ("é{9}", 22),
]
"""Patterns, and what `RE2::ProgramSize` says of them, or that of the reversed one, if it is larger."""


@pytest.mark.parametrize(("pattern", "size"), SIZES)
def test_a_pattern_has_at_least_the_instructions_that_re2_has_of_it(pattern: str, size: int) -> None:
    assert instructions(pattern) >= size


@pytest.mark.parametrize(
    ("pattern", "size"), [each for each in SIZES if r"\Q" not in each[0] and "Greek" not in each[0]]
)
def test_and_not_many_times_as_many(pattern: str, size: int) -> None:
    assert instructions(pattern) <= 5 * size + 10


@pytest.mark.parametrize(
    "pattern", [")", "(", "a)(", "((", "[", "[a", "{3}", "a{3}{3}", "\\", "*", r"\p", r"\x{", r"\Q"]
)
def test_what_is_no_pattern_is_measured_all_the_same(pattern: str) -> None:
    assert instructions(pattern) > 0
