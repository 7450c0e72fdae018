"""Names of headers that none has."""

from __future__ import annotations

import pytest

from sagamesh.language.cel.expressions import Place, compile_expression
from sagamesh.language.cel.guards.headers import odd_headers


def odd(source: str) -> list[tuple[str, str]]:
    return [*odd_headers(compile_expression(source, Place.EMIT).tree)]


@pytest.mark.parametrize(
    "source",
    [
        '"X-Kind" in response.headers',
        'saga.id != "" && response.headers["X-Kind"] == "new"',
        '["X-Kind"].exists(k, "X-Kind" in response.headers)',
    ],
)
def test_a_name_with_capitals_is_found(source: str) -> None:
    assert [name for name, _ in odd(source)] == ["X-Kind"]


def test_each_is_told_once_where_it_stands_first() -> None:
    source = 'has(response.headers.Kind) && response.headers.Kind == "" && !("X-Kind" in response.headers)'
    assert [name for name, _ in odd(source)] == ["Kind", "X-Kind"]
    assert odd('"A" in response.headers && response.headers["A"] == ""') == [("A", "1:5")]


@pytest.mark.parametrize(
    "source",
    [
        '"x-kind" in response.headers && response.headers["x-kind"] == "New"',
        'type(response.body) == map && has(response.body.Kind) && "X" in response.body',
        'event.data.Kind == "X" && "X" in ["X"]',
        "event.type in response.headers",
    ],
)
def test_other_names_are_as_they_are(source: str) -> None:
    assert odd(source) == []
