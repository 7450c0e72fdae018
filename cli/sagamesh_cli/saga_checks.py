"""Files of sagas, read and checked: every finding with its place. `sagamesh.language.checks` judges.

Whoever wants sagas only if nothing forbids to run them asks for `accepted`; `sagamesh check` shows all of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from sagamesh.errors import SpecError
from sagamesh.language import checks, spec
from sagamesh.language.findings import CODES, IDLE_IGNORE, ODD_WORD, WARNINGS, Finding
from sagamesh.language.model import Saga
from sagamesh_cli import saga_files
from sagamesh_cli.ignores import EXAMPLE, Ignore
from sagamesh_cli.output import Complaint, in_line, paint
from sagamesh_cli.saga_files import BadFile, SourceDocument

ERROR = "error"
COLOURS = {ERROR: "red", "warning": "yellow"}
IGNORABLE = WARNINGS - {IDLE_IGNORE}
MOVE = "take the comment away, or put it on the line of the finding, or right above"


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


class Ignored(NamedTuple):
    """A warning that a comment ignores, and why."""

    finding: Located
    reason: str


class Judged(NamedTuple):
    """What is in a file: its readable sagas, everything that was found, and how many sagas there should be.

    `ignored`: what else was found, and need not be told.
    """

    sagas: tuple[Saga, ...]
    findings: tuple[Located, ...]
    number: int = 1
    ignored: tuple[Ignored, ...] = ()


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
    found = [*(finding for part in judged for finding in part.findings), *_twins(documents, judged)]
    sagas = tuple(saga for part in judged for saga in part.sagas)
    return _sifted(Judged(sagas, tuple(found), len(documents)), documents[0])


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


def _sifted(judged: Judged, document: SourceDocument) -> Judged:
    """Without the warnings that comments of the file ignore, and with what is wrong with such comments."""
    if not document.ignores:
        return judged
    told = [_idle(document, ignore.line, *why) for ignore in document.ignores for why in _faults(ignore)]
    idle: dict[tuple[int | None, str | None], Ignore] = {
        (ignore.about, code): ignore for ignore in document.ignores for code in ignore.codes if code in IGNORABLE
    }
    reasons = {place: ignore.reason for place, ignore in idle.items()}
    kept, ignored = list[Located](), list[Ignored]()
    for found in judged.findings:
        place = (found.line, found.code)
        if place in reasons:
            ignored.append(Ignored(found, reasons[place]))
            idle.pop(place, None)
        else:
            kept.append(found)
    if all(found.level != ERROR for found in kept):  # while there are errors, some warnings are not looked for
        for (line, code), ignore in idle.items():
            told.append(_idle(document, ignore.line, f"there is no {code} on line {line} to be ignored", MOVE))
    return judged._replace(findings=_sorted([*kept, *told]) if told else tuple(kept), ignored=tuple(ignored))


def _faults(ignore: Ignore) -> Iterator[tuple[str, str]]:
    """Why a comment, or a part of it, can ignore nothing, and what to do."""
    if not ignore.codes:
        yield "this comment ignores nothing: it names no warning, or no reason", f"write it as in `{EXAMPLE}`"
    for code in ignore.codes:
        if code not in CODES:
            yield f"there is no finding {code}", f"there are {min(CODES)} to {max(CODES)}"
        elif code not in WARNINGS:
            why = "which no comment can ignore: the operator refuses the saga, and sees no comments"
            yield f"{code} is an error, {why}", "mend it, and take the comment away"
        elif code not in IGNORABLE:
            yield f"{code} is about comments like this one, and cannot be ignored itself", "take the comment away"


def _idle(document: SourceDocument, line: int, message: str, fix: str) -> Located:
    return Located(document.file, line, IDLE_IGNORE, "warning", "", message, fix)


def _problem(document: SourceDocument, problem: SpecError) -> Located:
    message = f"{problem.path} {problem.message}".strip()
    return Located(document.file, document.line(problem.path), None, ERROR, problem.path, message)


def _finding(document: SourceDocument, finding: Finding) -> Located:
    line = document.line(finding.path)
    return Located(document.file, line, finding.code, finding.level, finding.path, finding.message, finding.fix)


def _sorted(findings: Iterable[Located]) -> tuple[Located, ...]:
    """From the top of the file to its end, as people read it."""
    return tuple(sorted(findings, key=lambda finding: finding.line or 0))
