"""How commands speak: to a terminal, to a program (`-o json|yaml`), and about what is wrong.

What came from elsewhere (files, events, answers) passes through `plain`: it must not move the cursor, nor turn the
text around.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import typer


class Complaint(Exception):  # noqa: N818 - no error of ours: the user's
    """What a command says instead of going on. One sentence that tells what to do about it."""

    exit_code: int = 2


class OutputFormat(StrEnum):
    """What `-o` chooses from."""

    TEXT = "text"
    JSON = "json"
    YAML = "yaml"


# C0 but for the end of a line, DEL and C1; zero-width, bidirectional and other invisible controls; surrogates
_UNSAFE = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff\U000e0000-\U000e007f]"
)


def plain(text: object) -> str:
    """`text` without anything that a terminal obeys: such characters as JSON writes them."""
    return _UNSAFE.sub(lambda match: json.dumps(match[0])[1:-1], str(text))


def in_line(text: object) -> str:
    """The same, in one line."""
    return plain(text).replace("\n", "\\n")


def show(document: Any, form: OutputFormat) -> None:
    """A document for a program, which expects nothing else on stdout."""
    if form is OutputFormat.YAML:
        import yaml  # noqa: PLC0415 - whoever asks for no YAML need not wait for it

        typer.echo(yaml.safe_dump(document, sort_keys=False), nl=False)  # ASCII: it escapes the unsafe itself
    else:
        typer.echo(plain(json.dumps(document, indent=2, ensure_ascii=False)))


def complain(text: object) -> None:
    """A sentence about what is wrong, on stderr."""
    typer.echo(f"sagamesh: {plain(text)}", err=True)


def paint(text: str, colour: str | None = None, *, bold: bool | None = None, dim: bool | None = None) -> str:
    """Colour, where someone sees it and has not asked for none (`NO_COLOR`)."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    return typer.style(text, fg=colour, bold=bold, dim=dim)


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns as wide as their widest cell, two spaces apart."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
