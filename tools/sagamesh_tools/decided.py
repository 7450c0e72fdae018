"""The table "Where is it decided?" of docs/architecture.md, read and put to the proof.

    python -m sagamesh_tools.decided             # ten rows, drawn by a seed that is printed
    python -m sagamesh_tools.decided --seed 7    # those ten again
    python -m sagamesh_tools.decided --rows 0    # all of them

Of each row the function is made to raise (by `sabotage`, which pytest loads), and the row's test is run: it must fail.
A test that passes all the same does not show where the question is decided.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from sagamesh_tools.sabotage import VARIABLE

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "architecture.md"
DRAWN = 10
"""Rows of one run: half a minute, so that CI can afford it each time; over the runs all rows get their turn."""
TESTS_FAILED = 1
"""How pytest ends when it has run tests and some of them failed; anything above is a mistake in the row itself."""

_ROW = re.compile(r"^\| (?P<question>[^|]+\?) \| `(?P<symbol>[\w.]+:[\w.]+)` \| `(?P<test>tests/[\w/]+\.py::\w+)` \|$")


class DecidedRow(NamedTuple):
    """A question, `module:function` where it is decided, and the test (`file::function`) that shows it."""

    question: str
    symbol: str
    test: str


def rows(page: str) -> list[DecidedRow]:
    """The rows of the table, in the order of the page."""
    return [DecidedRow(**match.groupdict()) for line in page.splitlines() if (match := _ROW.match(line))]


def proved(row: DecidedRow) -> bool:
    """Whether the row's test fails once the row's function raises."""
    command = [sys.executable, "-m", "pytest", "-q", "--no-header", "-p", "sagamesh_tools.sabotage", row.test]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, VARIABLE: row.symbol}, capture_output=True, text=True, check=False
    )
    if done.returncode > TESTS_FAILED:
        sys.stderr.write(done.stdout[-2000:] + done.stderr[-2000:])
    return done.returncode == TESTS_FAILED


def main(arguments: list[str] | None = None) -> int:
    """Prove some rows; 1 where one of them proves nothing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=random.randrange(10_000))
    parser.add_argument("--rows", type=int, default=DRAWN, help="how many; 0: all")
    options = parser.parse_args(arguments)
    every = rows(PAGE.read_text())
    drawn = random.Random(options.seed).sample(every, min(options.rows, len(every))) if options.rows else every
    print(f"{len(drawn)} of {len(every)} rows, seed {options.seed}")
    unproved = 0
    for row in drawn:
        well = proved(row)
        unproved += not well
        print(f"{'well ' if well else 'WRONG'}  {row.question}  {row.symbol}  {row.test}", flush=True)
    if unproved:
        print(
            f"{unproved} passed, or did not run, though the function raised: the row names the wrong function or test"
        )
    return min(unproved, 1)


if __name__ == "__main__":
    sys.exit(main())
