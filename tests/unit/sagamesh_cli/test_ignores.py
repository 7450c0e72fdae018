"""Which comments of a file ignore something, and what each is about."""

from __future__ import annotations

from pathlib import Path

import pytest

from sagamesh_cli import saga_files
from sagamesh_cli.ignores import EXAMPLE, Ignore

BECAUSE = "sagamesh: ignore SM018 because of this"
FOUND = ("SM018",), "of this"


def ignores(tmp_path: Path, text: str) -> tuple[Ignore, ...]:
    path = tmp_path / "saga.yaml"
    path.write_bytes(text.encode())
    return saga_files.read(str(path))[0].ignores


@pytest.mark.parametrize(
    ("text", "line", "about"),
    [
        (f"a: 1  # {BECAUSE}\n", 1, 1),
        (f"# {BECAUSE}\na: 1\n", 1, 2),
        (f"a:\n  # {BECAUSE}\n\n  # more\n  - 1\n", 2, 5),
        (f"a: [  # {BECAUSE}\n  1]\n", 1, 1),
        (f"a: |  # {BECAUSE}\n  x\n", 1, 1),
        (f"a: |\n  x\n\n# {BECAUSE}\nb: 1\n", 4, 5),
        (f"a: >-\n  x\nb: 1 # {BECAUSE}\n", 3, 3),
        (f"a: 'x'  #{BECAUSE}\n", 1, 1),
        (f"a: 1\n# {BECAUSE}\n", 2, 2),
        (f"\ufeffa: é\nb: 1 # {BECAUSE}\n", 2, 2),
        (f"a: 1\r\nb: 1 # {BECAUSE}\r\n", 2, 2),
        (f"a: 1\n---\nb: 1 # {BECAUSE}\n", 3, 3),
        (f"a: 1\u2028b: 1 # {BECAUSE}\u2028c: 1\n", 2, 2),
    ],
)
def test_a_comment_is_about_its_line_or_alone_about_the_next(tmp_path: Path, text: str, line: int, about: int) -> None:
    assert ignores(tmp_path, text) == (Ignore(line, about, *FOUND),)


@pytest.mark.parametrize(
    "text",
    [
        f"a: 'x # {BECAUSE}'\n",
        f'a: "x # {BECAUSE}"\n',
        f"a: |\n  x # {BECAUSE}\n  # {BECAUSE}\n",
        f"a: >\n  x\n\n  # {BECAUSE}\n",
        f"'# {BECAUSE}': 1\n",
        f"a: 'x\n\n  # {BECAUSE}\n  y'\n",
        "a: x#sagamesh ignore SM018 because of this\n",
        "a: 1  # sagamesh: ignored once, because of this\n",
        "a: 1  # to ignore SM018 because of this\n",
    ],
)
def test_what_is_text_or_another_comment_is_none(tmp_path: Path, text: str) -> None:
    assert ignores(tmp_path, text) == ()


@pytest.mark.parametrize(
    ("comment", "codes", "reason"),
    [
        (EXAMPLE, ("SM018",), "the bank alone decides that"),
        ("# sagamesh: ignore SM010,sm018 , SM026 because  of  this ", ("SM010", "SM018", "SM026"), "of  this"),
        ("# sagamesh ignore SM010 Because because", ("SM010",), "because"),
        ("# sagamesh: ignore SM010", (), ""),
        ("# sagamesh: ignore SM010 of this", (), ""),
        ("# sagamesh: ignore because of this", (), ""),
        ("# sagamesh: ignore SM010 SM018 because of this", (), ""),
        ("# sagamesh: ignore all because of this", (), ""),
        ("# sagamesh: ignore", (), ""),
    ],
)
def test_codes_and_reason(tmp_path: Path, comment: str, codes: tuple[str, ...], reason: str) -> None:
    assert ignores(tmp_path, f"a: 1  {comment}\n") == (Ignore(1, 1, codes, reason),)
