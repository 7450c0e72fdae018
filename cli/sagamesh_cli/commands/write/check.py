"""`sagamesh check`: what is wrong with the sagas of some files, where, and how to mend it.

`sagamesh.language.checks` judges.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, NamedTuple

import typer

from sagamesh.errors import SpecError
from sagamesh.language import checks, spec
from sagamesh.language.findings import CODES, WARNINGS, Finding
from sagamesh.language.model import Saga
from sagamesh.text import counted
from sagamesh_cli import saga_files
from sagamesh_cli.output import Complaint, OutputFormat, in_line, paint, show
from sagamesh_cli.saga_files import BadFile, SourceDocument

ERROR = "error"
COLOURS = {ERROR: "red", "warning": "yellow"}


class Located(NamedTuple):
    """A finding and its place. Without a code: what stands there cannot be read as a saga."""

    file: str
    line: int | None
    code: str | None
    level: str
    path: str
    message: str
    fix: str = ""

    def __str__(self) -> str:
        where = in_line(self.file) + (f":{self.line}" if self.line else "")
        level = paint(self.level, COLOURS.get(self.level), bold=True)
        head = f"{where}: {self.code} {level}" if self.code else f"{where}: {level}"
        return f"{head} {in_line(self.message)}" + (f"\n    {in_line(self.fix)}" if self.fix else "")


class Judged(NamedTuple):
    """What is in a file: its readable sagas, everything that was found, and how many sagas there should be."""

    sagas: tuple[Saga, ...]
    findings: tuple[Located, ...]
    number: int = 1


class FindingsError(Complaint):
    """Sagas that are refused. The text holds everything that was found."""

    exit_code = 1


def check(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILE...", help="Files with sagas, or - for standard input.", show_default=False),
    ] = None,
    output: Annotated[OutputFormat, typer.Option("-o", "--output", help="How to show it.")] = OutputFormat.TEXT,
    explain: Annotated[str | None, typer.Option(metavar="CODE", help="Say what a code means, as in SM004.")] = None,
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
        show({"success": not failed, "findings": [finding._asdict() for finding in findings]}, output)
    raise typer.Exit(1 if failed else 0)


def _explain(code: str) -> str:
    code = code.upper()
    if code not in CODES:
        raise Complaint(f"there is no finding {code!r}; there are {min(CODES)} to {max(CODES)}")
    level = "warning" if code in WARNINGS else ERROR
    return f"{code} {level}: {CODES[code]}\nAn example, and how to mend it: docs/checks.md#{code.lower()}"


def accepted(name: str) -> tuple[Saga, ...]:
    """The sagas of a file, where nothing forbids to run them. Raises Complaint, which says everything that does."""
    judged = judge(name)
    errors = [finding for finding in judged.findings if finding.level == ERROR]
    if errors:
        raise FindingsError("\n".join([f"{name} is refused", *map(str, errors)]))
    return judged.sagas


def judge(name: str) -> Judged:
    """Read a file and check its sagas. Raises UnreadableFile."""
    try:
        documents = saga_files.sagas(name)
    except BadFile as error:
        return Judged((), (Located(error.file, error.line, None, ERROR, "", error.message),))
    judged = [_judge(document) for document in documents]
    return Judged(
        tuple(saga for part in judged for saga in part.sagas),
        tuple(finding for part in judged for finding in part.findings) + tuple(_twins(documents, judged)),
        len(documents),
    )


def _judge(document: SourceDocument) -> Judged:
    if problems := spec.problems(document.value, namespace=saga_files.NAMESPACE):
        return Judged((), _sorted(_problem(document, problem) for problem in problems))
    saga = spec.read(document.value, namespace=saga_files.NAMESPACE)
    return Judged((saga,), _sorted(_finding(document, finding) for finding in checks.check(saga)))


def _twins(documents: Sequence[SourceDocument], judged: Sequence[Judged]) -> Iterator[Located]:
    """Sagas that a file holds twice: `kubectl apply` would take the last one without a word."""
    first: dict[tuple[str, str], int] = {}
    for document, part in zip(documents, judged, strict=True):
        for saga in part.sagas:
            line = document.line("metadata.name")
            if (before := first.setdefault((saga.namespace, saga.name), line)) != line:
                message = f"the saga {saga.namespace}/{saga.name} is there twice: first on line {before}"
                yield Located(document.file, line, None, ERROR, "metadata.name", message)


def _problem(document: SourceDocument, problem: SpecError) -> Located:
    message = f"{problem.path} {problem.message}".strip()
    return Located(document.file, document.line(problem.path), None, ERROR, problem.path, message)


def _finding(document: SourceDocument, found: Finding) -> Located:
    line = document.line(found.path)
    return Located(document.file, line, found.code, found.level, found.path, found.message, found.fix)


def _sorted(findings: Iterable[Located]) -> tuple[Located, ...]:
    """From the top of the file to its end, as people read it."""
    return tuple(sorted(findings, key=lambda finding: finding.line or 0))


def _summary(judged: Sequence[Judged]) -> str:
    """`2 sagas: 1 error, 3 warnings`."""
    levels = Counter(finding.level for file in judged for finding in file.findings)
    sagas = sum(file.number for file in judged)
    return f"{counted(sagas, 'saga')}: {', '.join(counted(n, level) for level, n in levels.items()) or 'no findings'}"
