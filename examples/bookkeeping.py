"""What the `books.py` of the examples share: they read the services' databases side by side, and change nothing."""

import sqlite3
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

Databases = Path | Mapping[str, Path]
"""A directory with `<service>.db`, or the path of each."""


def discrepancies(databases: Databases, services: Iterable[str], checks: Iterable[str], views: str = "") -> list[str]:
    """What the checks find, one sentence a row of theirs. Each service's tables are there as `<service>.<table>`.

    `views`: temporary ones, that the checks read.
    """
    paths = databases if isinstance(databases, Mapping) else {name: databases / f"{name}.db" for name in services}
    db = sqlite3.connect(":memory:", uri=True)
    try:
        for name in services:
            db.execute(f"ATTACH ? AS {name}", (f"{paths[name].absolute().as_uri()}?mode=ro",))
        db.executescript(views)
        return [sentence for check in checks for (sentence,) in db.execute(check)]
    finally:
        db.close()


def main(balanced: Callable[[Databases], list[str]]) -> None:
    """`python books.py DIRECTORY`: the discrepancies, or that there are none."""
    found = balanced(Path(sys.argv[1]))
    print("\n".join(found) or "balanced")
    sys.exit(bool(found))
