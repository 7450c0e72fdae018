"""May a Saga run, and what does it mean? The same checks as `sagamesh check`, then the projection. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from sagamesh.language import checks, spec
from sagamesh.language.findings import Finding
from sagamesh.rules.local import LocalRules
from sagamesh.rules.projection import project

UNREADABLE = "Unreadable"
"""The reason where the document is no saga at all: such problems have no code."""


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


def _codes(findings: Iterable[Finding]) -> str:
    """`SM003,SM007`: a reason may hold commas."""
    return ",".join(sorted({finding.code for finding in findings}))


def _sentence(finding: Finding) -> str:
    return f"{finding.code} {finding.level} at {finding.path}: {finding.message}; {finding.fix}"
