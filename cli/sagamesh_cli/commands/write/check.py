"""`sagamesh check`: what is wrong with the sagas of some files, where, and how to mend it. `saga_checks` finds it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from sagamesh.language.findings import CODES, WARNINGS
from sagamesh.text import counted
from sagamesh_cli.errors import EnvironmentFault
from sagamesh_cli.options import Output
from sagamesh_cli.output import Complaint, OutputFormat, show
from sagamesh_cli.saga_checks import ERROR, Judged, judge

LINK = re.compile(r"\[([^]]+)\]\((\w+\.md[^)]*)\)")
"""To another page of the documentation."""


def check(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILE...", help="Files with sagas, or - for standard input.", show_default=False),
    ] = None,
    output: Output = OutputFormat.TEXT,
    explain: Annotated[
        str | None, typer.Option(metavar="CODE", help="Say what a code means, as in SM004, and how to mend it.")
    ] = None,
) -> None:
    """Find what is wrong with sagas before they run. Exit code 1: errors; with warnings alone 0."""
    if explain is not None:
        typer.echo(_explain(explain))
        return
    if not names:
        raise Complaint("which files? As in `sagamesh check saga.yaml`")
    judged = [judge(name) for name in names]
    findings = [finding for file in judged for finding in file.findings]
    failed = any(finding.level == ERROR for finding in findings)
    if output is OutputFormat.TEXT:
        typer.echo("\n".join([*map(str, findings), _summary(judged)]))
    else:
        ignored = [{**each.finding._asdict(), "reason": each.reason} for file in judged for each in file.ignored]
        found = [finding._asdict() for finding in findings]
        show({"success": not failed, "findings": found, "ignored": ignored}, output)
    raise typer.Exit(1 if failed else 0)


def _explain(code: str) -> str:
    code = code.upper()
    if code not in CODES:
        raise Complaint(f"there is no finding {code!r}; there are {min(CODES)} to {max(CODES)}")
    level = "warning" if code in WARNINGS else ERROR
    return f"{code} {level}: {CODES[code]}\n\n{_section(code)}"


def _section(code: str) -> str:
    """What docs/checks.md says of a code, which lies beside the installed command line, or in the repository."""
    here = Path(__file__).parents[2]
    page = next((path for path in (here / "checks.md", here.parents[1] / "docs" / "checks.md") if path.is_file()), None)
    if page is None:
        raise EnvironmentFault("docs/checks.md is not installed here; run this from the repository")
    [_, section] = page.read_text("utf-8").split(f"\n### {code}\n")
    text = re.split(r"^##", section, maxsplit=1, flags=re.MULTILINE)[0].strip()
    return LINK.sub(r"\1 (docs/\2)", text)


def _summary(judged: Sequence[Judged]) -> str:
    """`2 sagas: 1 error, 3 warnings, 1 ignored`."""
    levels = Counter(finding.level for file in judged for finding in file.findings)
    sagas, ignored = sum(file.number for file in judged), sum(len(file.ignored) for file in judged)
    told = [counted(n, level) for level, n in levels.items()] or ["no findings"]
    return f"{counted(sagas, 'saga')}: {', '.join([*told, *([f'{ignored} ignored'] if ignored else [])])}"
