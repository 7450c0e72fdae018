"""Durations as people write them."""

from __future__ import annotations

import pytest

from sagamesh import durations


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10s", 10), ("1h30m", 5400), ("200ms", 0.2), ("1.5s", 1.5), ("0s", 0), ("1m1s1ms", 61.001), ("5m", 300)],
)
def test_what_is_meant(text: str, seconds: float) -> None:
    assert durations.parse(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "10", "s", "1d", "1 s", "-1s", "+1s", "1s ", "\u0661s", "1e3s", ".5s", "1s1", "9" * 40]
)
def test_what_is_not_understood(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration; write it like 10s"):
        durations.parse(text)


@pytest.mark.parametrize(
    "text", ["0s", "1ms", "200ms", "1s1ms", "5s", "2m", "1m30s", "1h", "1h30m", "720h", "719h59m59s999ms"]
)
def test_a_duration_is_written_as_people_do(text: str) -> None:
    assert durations.text(durations.parse(text)) == text


@pytest.mark.parametrize("milliseconds", [1, 999, 1000, 59_999, 60_000, 3_599_999, 3_600_000, 2_591_999_999])
def test_what_is_written_is_read_back(milliseconds: int) -> None:
    assert durations.parse(durations.text(milliseconds / 1000)) == pytest.approx(milliseconds / 1000, abs=1e-6)
