"""Files of sagas, read and checked: every finding with its place. `sagamesh.language.checks` judges.

Whoever wants sagas only if nothing forbids to run them asks for `accepted`; `sagamesh check` shows all of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from sagamesh.errors import SpecError
from sagamesh.language import checks, spec
from sagamesh.language.findings import ODD_WORD, Finding
from sagamesh.language.model import Saga
from sagamesh_cli import saga_files
from sagamesh_cli.output import Complaint, in_line, paint
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
        found = [_problem(document, problem) for problem in problems]
        return Judged((), _sorted([*found, *_odd_words(document, {problem.path for problem in problems})]))
    saga = spec.read(document.value, namespace=saga_files.NAMESPACE)
    found = [_finding(document, finding) for finding in checks.check(saga)]
    return Judged((saga,), _sorted([*found, *_odd_words(document, set())]))


def _odd_words(document: SourceDocument, told: Collection[str]) -> Iterator[Located]:
    """Words that kubectl reads otherwise, which no check of the saga can see; but for those `told` of already."""
    for odd in document.odd:
        if odd.path not in told:
            message = f"{odd.word} without quotes is text here, and {odd.meaning} to kubectl, which reads YAML 1.1"
            fix = f"write '{odd.word}', in quotes, or what you mean"
            yield Located(document.file, odd.line, ODD_WORD, "warning", odd.path, message, fix)


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


def _finding(document: SourceDocument, finding: Finding) -> Located:
    line = document.line(finding.path)
    return Located(document.file, line, finding.code, finding.level, finding.path, finding.message, finding.fix)


def _sorted(findings: Iterable[Located]) -> tuple[Located, ...]:
    """From the top of the file to its end, as people read it."""
    return tuple(sorted(findings, key=lambda finding: finding.line or 0))
