"""May a Saga run, and what does it mean? The same checks as `sagamesh check`, then the projection. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from msgspec import Struct

from sagamesh.language import checks, spec
from sagamesh.language.findings import Finding
from sagamesh.rules.local import LocalRules
from sagamesh.rules.projection import project

UNREADABLE = "Unreadable"
"""The reason where the document is no saga at all: such problems have no code."""
TOO_EXPENSIVE, NOT_CHECKED = "TooExpensive", "NotChecked"
"""The reasons where nobody knows what the document is: checking it took too much, or did not end well."""


class Acceptance(Struct, frozen=True, kw_only=True):
    """`documents`: participant -> its rules; empty where the saga is refused. `reason`: codes, or one word.

    `message`: everything that was found, errors and warnings; empty where nothing was.
    """

    documents: Mapping[str, LocalRules]
    steps: int
    reason: str
    message: str

    @property
    def revision(self) -> str:
        return next((rules.revision for rules in self.documents.values()), "")


class Judge(Protocol):
    """The port behind which specs are judged, wherever that is."""

    async def __call__(self, document: Mapping[str, Any], /) -> Acceptance:
        """Whatever the document holds. Raises UnavailableError where it is to be tried again."""
        ...


def judge(document: Mapping[str, Any]) -> Acceptance:
    """Whatever the document holds: what cannot be read is refused, too."""
    problems = spec.problems(document)
    if problems:
        told = (f"{problem.path} {problem.message}" for problem in problems)
        return Acceptance(documents={}, steps=0, reason=UNREADABLE, message="; ".join(told))
    saga = spec.read(document)
    findings = checks.check(saga)
    errors = [finding for finding in findings if finding.level == "error"]
    return Acceptance(
        documents={} if errors else project(saga),
        steps=len(saga.steps),
        reason=_codes(errors) or "Accepted",
        message="; ".join(map(_sentence, findings)),
    )


async def judge_here(document: Mapping[str, Any]) -> Acceptance:
    """The port `Judge` without a process of its own."""
    return judge(document)


def too_expensive(what: str) -> Acceptance:
    """`what` it took: `over 30s`."""
    message = f"checking it took {what}, and was given up; make it smaller, or split it in two"
    return Acceptance(documents={}, steps=0, reason=TOO_EXPENSIVE, message=message)


def broken() -> Acceptance:
    message = "the process that checks it broke, which is a fault of the operator: its log says more"
    return Acceptance(documents={}, steps=0, reason=NOT_CHECKED, message=message)


def _codes(findings: Iterable[Finding]) -> str:
    """`SM003,SM007`: a reason may hold commas."""
    return ",".join(sorted({finding.code for finding in findings}))


def _sentence(finding: Finding) -> str:
    return f"{finding.code} {finding.level} at {finding.path}: {finding.message}; {finding.fix}"
