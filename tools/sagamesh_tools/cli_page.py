"""The examples in `docs/cli.md`, which are those of the commands' help. The rest of the page is written by hand."""

from __future__ import annotations

from sagamesh_cli import main
from sagamesh_tools.chart import ROOT

PAGE = ROOT / "docs" / "cli.md"
HEADING, NEXT = "## Examples\n", "\n## "


def page() -> str:
    """Its own text, which is kept, and the examples of all commands."""
    before, heading, after = PAGE.read_text().partition(HEADING)
    _, following, rest = after.partition(NEXT)
    examples = "\n".join(main.EXAMPLES.values())
    return f"{before}{heading}\n```sh{examples}\n```\n{following}{rest}"
