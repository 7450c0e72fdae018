"""All single-point changes of a module: the whole changed source, and a key that lasts while other lines move.

Where changes are possible is found by `sites`; what tests say of them is found out by `trial`.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from dataclasses import dataclass, replace

from sagamesh_tools.mutation.sites import SourceEdit, edits

_COMMENT = re.compile(rb"\s+# [^\"']*$")
"""The comment at the end of a line, as far as it can be told from a part of a string."""


@dataclass(frozen=True, kw_only=True)
class MutantKey:
    """What names a change while lines move: its function, and its lines before and after (on one line, no comment).

    `nth` counts from 1 the equal changes of one function, from the top. `function` is empty outside of functions.
    """

    module: str
    function: str
    kind: str
    was: str
    now: str
    nth: int = 1


@dataclass(frozen=True, kw_only=True)
class SourceMutant:
    """One change. `source`: the whole module with it. `statement`: the lines of which one runs if the change is met."""

    key: MutantKey
    source: str
    line: int
    statement: range


def mutants(module: str, source: str) -> list[SourceMutant]:
    """All changes of a module's source, from the top; such as do not parse are left out."""
    text = source.encode()
    seen: Counter[MutantKey] = Counter()
    possible = []
    for mutant in (_mutant(module, text, edit) for edit in edits(text)):
        if _parses(mutant.source):
            seen[mutant.key] += 1
            possible.append(replace(mutant, key=replace(mutant.key, nth=seen[mutant.key])))
    return possible


def _mutant(module: str, text: bytes, edit: SourceEdit) -> SourceMutant:
    """The change, and the lines that it touches, before and after."""
    head = text[: edit.start]
    before = head.rpartition(b"\n")[2]
    after = text[edit.end :].partition(b"\n")[0]
    said = _COMMENT.sub(b"", after)
    return SourceMutant(
        key=MutantKey(
            module=module,
            function=edit.function,
            kind=edit.kind,
            was=_folded(before + text[edit.start : edit.end] + said),
            now=_folded(before + edit.text.encode() + said),
        ),
        source=(head + edit.text.encode() + text[edit.end :]).decode(),
        line=head.count(b"\n") + 1,
        statement=edit.statement,
    )


def _folded(lines: bytes) -> str:
    return " ".join(lines.decode().split())


def _parses(source: str) -> bool:
    try:
        ast.parse(source)
    except SyntaxError:
        return False
    return True
