"""How commands speak: to the terminal, to a program (`-o json|yaml`), and about trouble.

What came from elsewhere (files, events, answers) passes through `plain`: it must not move the cursor, or turn the
text around.
"""

from __future__ import annotations

import json
import os
import re
import sys
from enum import StrEnum
from typing import Any

import typer


class Format(StrEnum):
    """What `-o` chooses from."""

    TEXT = "text"
    JSON = "json"
    YAML = "yaml"


# C0 (but for the end of a line), DEL, C1, zero-width and bidirectional controls, line separators, tags, surrogates
_UNSAFE = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff\U000e0000-\U000e007f]"
)


def plain(text: object) -> str:
    """`text` without anything that a terminal obeys: such characters as JSON would write them."""
    return _UNSAFE.sub(lambda match: json.dumps(match[0])[1:-1], str(text))


def line(text: object) -> str:
    """`plain`, and in one line."""
    return plain(text).replace("\n", "\\n")


def show(document: Any, form: Format) -> None:
    """A document for a program. Nothing else may be printed on stdout beside it."""
    if form is Format.YAML:
        import yaml

        typer.echo(yaml.safe_dump(document, sort_keys=False), nl=False)  # ASCII: it escapes what is unsafe
    else:
        typer.echo(plain(json.dumps(document, indent=2, ensure_ascii=False)))


def complain(text: object) -> None:
    """A sentence about trouble, on stderr."""
    typer.echo(f"sagamesh: {plain(text)}", err=True)


def paint(text: str, colour: str | None = None, *, bold: bool = False, dim: bool = False) -> str:
    """Colour, where someone sees it and has not asked for none (`NO_COLOR`)."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return typer.style(text, fg=colour, bold=bold or None, dim=dim or None)


def table(rows: list[tuple[str, ...]], indent: str = "") -> list[str]:
    """Columns as wide as their widest cell, two spaces apart."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        indent + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
