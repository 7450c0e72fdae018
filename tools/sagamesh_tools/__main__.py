"""`python -m sagamesh_tools write` makes every file that is made; `check` fails where one differs.

Both fail where Helm finds fault with the chart.
"""

from __future__ import annotations

import sys

from sagamesh_tools import chart, made

USAGE = "usage: python -m sagamesh_tools write|check"


def main(tasks: list[str]) -> None:
    """Ends with 0, or with 1 and what is wrong on stderr."""
    match tasks:
        case ["write"]:
            made.write(made.files())
            wrong = []
        case ["check"]:
            wrong = made.differences(made.files())
        case _:
            sys.exit(USAGE)
    sys.exit("\n".join([*chart.faults(), *wrong]) or 0)


if __name__ == "__main__":
    main(sys.argv[1:])
