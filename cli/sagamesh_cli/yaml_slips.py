"""What people write in YAML that means something else: text without quotes, and words that YAML 1.1 reads otherwise.

`saga_files` reads files, by YAML 1.2; kubectl reads them by YAML 1.1. Here are only hints, and no files.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import yaml

_ENDS = ("'<stream end>'", "'<document end>'", "'<document start>'")
_UNQUOTED = re.compile(
    r"mapping (values|keys) are not allowed here|constructor for the tag '!|[@`%]' that cannot start any token"
    r"|while parsing a block mapping.* found '<scalar>'|while parsing a flow .* but got "
)
_LETTERS = {"y": "true", "Y": "true", "n": "false", "N": "false"}
"""Booleans in YAML 1.1 and in kubectl; PyYAML, which knows the rest of them, leaves these out."""


class OddWord(NamedTuple):
    """A word without quotes at `path`, which is text here, and `meaning` to kubectl."""

    path: str
    line: int
    word: str
    meaning: str


def hinted(sentence: str) -> str:
    """What YAML says of text that it cannot read, with what most likely helps."""
    if not _UNQUOTED.search(sentence) or sentence.endswith(_ENDS):
        return sentence
    comma = ", or write the comma that is missing before it" if sentence.endswith("':'") else ""
    return f"put the text in quotes, as in 'a ? b : c'{comma} ({sentence})"


def meaning(word: str) -> str | None:
    """What YAML 1.1 makes of a word without quotes that is text in YAML 1.2; None: the same text."""
    if word in _LETTERS:
        return f"the boolean {_LETTERS[word]}"
    tags = yaml.SafeLoader.yaml_implicit_resolvers.get(word[:1], ())
    kind = next((tag.rpartition(":")[2] for tag, pattern in tags if pattern.match(word)), "")
    if kind == "bool":
        return f"the boolean {str(yaml.SafeLoader.bool_values[word.lower()]).lower()}"
    return (
        "a number" if kind in ("int", "float") and ":" not in word else None
    )  # minutes and hours kubectl leaves alone
