"""What people write in YAML that means something else."""

from __future__ import annotations

import pytest
import yaml

from sagamesh_cli import yaml_slips


@pytest.mark.parametrize(
    ("word", "meaning"),
    [
        *((word, "the boolean true") for word in ("y", "Y", "yes", "Yes", "YES", "on", "On", "ON")),
        *((word, "the boolean false") for word in ("n", "N", "no", "No", "NO", "off", "Off", "OFF")),
        *((word, "a number") for word in ("010", "1_000", "0x1F", "0b11", ".5e+3", ".inf", ".NaN")),
        *((word, None) for word in ("", "yEs", "yes!", "none", "order.placed", "5s", "1:30", "2020-01-01", "=", "<<")),
    ],
)
def test_what_yaml_1_1_makes_of_a_word(word: str, meaning: str | None) -> None:
    assert yaml_slips.meaning(word) == meaning


@pytest.mark.parametrize(
    "text",
    [
        "{when: a ? b : c}",
        "{when: a[0] == b}",
        '{when: "a" == b}',
        "when: a ? b : c",
        'when: "a" == b',
        "when: [1, 2].exists(x, x)",
        "when: !a",
        "when: `a`",
        "when: @a",
        "when: ? a",
    ],
)
def test_text_that_needs_quotes(text: str) -> None:
    said = wrong(text)
    assert yaml_slips.hinted(said) == f"put the text in quotes, as in 'a ? b : c' ({said})"


def test_where_a_comma_may_be_missing_that_is_said() -> None:
    said = wrong("{a: 1\n b: 2}")
    assert yaml_slips.hinted(said).startswith(
        "put the text in quotes, as in 'a ? b : c', or write the comma that is missing before it (while parsing"
    )


@pytest.mark.parametrize(
    "text", ["a: {b: c", "a: [b\n---\n", "a:\n\t- b", "a: 'b", "a: !!float x\nb: }", "a: !!set2 x"]
)
def test_where_quotes_are_no_help_they_are_not_proposed(text: str) -> None:
    said = wrong(text)
    assert yaml_slips.hinted(said) == said


def wrong(text: str) -> str:
    """What YAML says of it, in one line."""
    with pytest.raises(yaml.MarkedYAMLError) as caught:
        yaml.safe_load(text)
    parts = (caught.value.context, caught.value.problem)
    return ", ".join(part for part in parts if part)
