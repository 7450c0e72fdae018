"""What an expression looks into without asking whether it is there, where it is often not: then it would fail.

Sound, not complete: what passes cannot fail for that; what does not pass may be right, and can be written otherwise. A
guard stands at the left of what it guards, by `&&`, `||` or `? :`. In `compensation.body`, `result` and `request` may
be null: ask `result != null`; what is in them otherwise is between saga and app. In `emits[].when` nobody knows what an
answer holds: ask `type(response.body) == map`, and `has(...)` of each field. What a field holds that is there, is again
between saga and app.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from sagamesh.language.cel.expressions import Place
from sagamesh.language.cel.syntax import AstNode
from sagamesh.language.cel.wire import ExprKind

BODY, HEADERS = "response.body", "response.headers"
WRITTEN = ""
"""Stands where a variable stands, of what is written out in the expression."""

Path = tuple[str, ...]
"""A variable, and the fields that lead on from it."""


class Fact(NamedTuple):
    """What is known of a part of the data: its type, that it is `there`, or that it is `some` value and not null."""

    path: Path
    known: str


Facts = frozenset[Fact]
NOTHING: Facts = frozenset()
THERE, SOME, NULL = "there", "some", "null_type"
TYPES = frozenset({"map", "list", "string", "double", "int", "uint", "bool", "bytes", NULL})

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LOOPED = frozenset({"map", "list"})
_SIZED = frozenset({"map", "list", "string"})
_NUMBERS = frozenset({"double", "int", "uint"})
_COMPARISONS = frozenset({"_<_", "_<=_", "_>_", "_>=_"})
_TEXT = frozenset({"startsWith", "endsWith", "contains", "matches"})


class Unguarded(NamedTuple):
    """Something that fails where `path` is not what it is taken for.

    `position`: line:column. `guard`: what to ask before; empty where nothing is known that would help.
    """

    path: Path
    position: str
    guard: str

    @property
    def text(self) -> str:
        """The path as it is written."""
        return _written(self.path)


def _written(path: Path) -> str:
    variable, *fields = path
    return variable + "".join(f".{field}" if _NAME.fullmatch(field) else f"[{_quoted(field)}]" for field in fields)


def _quoted(field: str) -> str:
    return '"' + field.replace("\\", "\\\\").replace('"', '\\"') + '"'


@dataclass(frozen=True, slots=True)
class _Insight:
    """A part of an expression: what fails in it, and what follows from its being true, or false.

    `may_be`: the variables whose value it may have, where that is not known to be harmless; `holds`: also those that
    may stand somewhere within.
    """

    unguarded: tuple[Unguarded, ...] = ()
    true: Facts = NOTHING
    false: Facts = NOTHING
    may_be: frozenset[str] = frozenset()
    holds: frozenset[str] = frozenset()


HARMLESS = _Insight()


def unguarded(root: AstNode, place: Place) -> tuple[Unguarded, ...]:
    """The first use without it of each guard that is missing. None in places where nothing is known to be missing."""
    match place:
        case Place.COMPENSATION_BODY:
            guards = _Guards(frozenset({"result", "request"}), strict=False)
        case Place.EMIT:
            guards = _Guards(frozenset({BODY}), strict=True)
        case _:
            return ()
    judged = guards.judge(root, NOTHING)
    uses = (*judged.unguarded, *guards.misused(root, judged.may_be))
    return tuple({use.guard: use for use in reversed(uses)}.values())[::-1]


def _all(parts: Iterable[_Insight]) -> _Insight:
    """What is true of something that is made of these, and is none of them itself."""
    parts = tuple(parts)
    return _Insight(
        unguarded=tuple(use for part in parts for use in part.unguarded),
        holds=frozenset(name for part in parts for name in part.may_be | part.holds),
    )


@dataclass(frozen=True, slots=True)
class _Guards:
    """Judges expressions over `doubtful` variables, which may be null; `strict`: which may be anything."""

    doubtful: frozenset[str]
    strict: bool

    def misused(self, node: AstNode, variables: Iterable[str]) -> Iterator[Unguarded]:
        """A variable of which something is asked that not all of its values bear."""
        for name in sorted(variables):
            guard = f"type({name}) == ..." if self.strict else f"{name} != null"
            yield Unguarded((name,), node.position, "" if name == HEADERS else guard)

    def _unasked(self, path: Path, node: AstNode, facts: Facts) -> Unguarded:
        """A field that is read: what an author should ask of the path to it, from its beginning."""
        variable, *fields = path
        if not self.strict:
            return Unguarded(path, node.position, f"{variable} != null")
        asked = [] if variable == HEADERS or Fact((variable,), "map") in facts else [f"type({variable}) == map"]
        for end, field in enumerate(fields, start=1):
            if Fact(path[: end + 1], THERE) not in facts:
                is_plain = _NAME.fullmatch(field) and variable != HEADERS
                holder, whole = _written(path[:end]), _written(path[: end + 1])
                asked.append(f"has({whole})" if is_plain else f"{_quoted(field)} in {holder}")
        return Unguarded(path, node.position, " && ".join(asked))

    def judge(self, node: AstNode, facts: Facts) -> _Insight:
        match node.kind:
            case ExprKind.CONSTANT:
                return HARMLESS
            case ExprKind.VARIABLE:
                return self._variable(node, facts)
            case ExprKind.FIELD:
                return self._field(node, node.name, facts)
            case ExprKind.LOOP:
                return self._loop(node, facts)
            case ExprKind.LIST:
                return _all(self.judge(item, facts) for item in node.children)
            case ExprKind.MAP:
                keys = [self._used(key, facts) for key in node.children[::2]]
                return _all([*keys, *(self.judge(value, facts) for value in node.children[1::2])])
        match node.name:
            case "_&&_" | "_||_" | "_?_:_" | "!_":
                return self._logic(node, facts)
            case "_==_" | "_!=_":
                return self._comparison(node, facts)
            case "_[_]":
                return self._index(node, facts)
            case "@in":
                return self._membership(node, facts)
            case "type":
                return replace(_all(self.judge(child, facts) for child in node.children), holds=frozenset())
            case "dyn":
                return self.judge(node.children[0], facts)
        return self._call(node, facts)

    # -- data ------------------------------------------------------------------------------------------------------

    def _path(self, node: AstNode) -> Path | None:
        """The chain of fields that a part is, from a doubtful variable or the headers."""
        if node.kind is ExprKind.VARIABLE:
            known = node.name in self.doubtful or (self.strict and node.name == HEADERS)
            return (node.name,) if known else None
        if node.kind is ExprKind.FIELD and not node.tested:
            holder, name = node.children[0], node.name
        elif node.calls("_[_]") and node.children[1].text is not None:
            holder, name = node.children[0], node.children[1].text
        else:
            return self._path(node.children[0]) if node.calls("dyn") else None
        path = self._path(holder)
        return None if path is None else (*path, name)

    def _variable(self, node: AstNode, facts: Facts) -> _Insight:
        if self.strict and node.name == HEADERS:  # surely a map, of which no field is sure
            return _Insight(holds=frozenset({HEADERS}))
        if node.name not in self.doubtful or (not self.strict and Fact((node.name,), SOME) in facts):
            return HARMLESS
        one = frozenset({node.name})
        return _Insight(may_be=one, holds=one)

    def _is(self, node: AstNode, types: Iterable[str], facts: Facts) -> bool:
        """Whether it is a part of the data that is known to be of one of these types."""
        path = self._path(node)
        return path is not None and any(Fact(path, of) in facts or (path == (HEADERS,) and of == "map") for of in types)

    def _used(self, node: AstNode, facts: Facts, types: Iterable[str] = (), *, within: bool = False) -> _Insight:
        """A part that something is done with which only these types bear; `within`: also with what it holds."""
        if self._is(node, types, facts):
            return HARMLESS
        judged = self.judge(node, facts)
        wrong = judged.holds if within else judged.may_be
        return replace(judged, unguarded=(*judged.unguarded, *self.misused(node, wrong)), may_be=frozenset())

    def _field(self, node: AstNode, name: str, facts: Facts) -> _Insight:
        """A field that is read, or asked for by `has`; also by an index."""
        holder = node.children[0]
        if _lacks(holder, name, tested=node.tested):
            return _Insight(unguarded=(Unguarded((WRITTEN, name), node.position, ""),))
        path = self._path(holder)
        judged = replace(self._used(holder, facts, ("map",), within=True), holds=frozenset())
        if path is not None and judged.unguarded:
            judged = replace(judged, unguarded=(self._unasked(path if node.tested else (*path, name), node, facts),))
        if not self.strict or path is None:
            return judged
        field = Fact((*path, name), THERE)
        if node.tested:
            return replace(judged, true=frozenset({field}))
        missing = field not in facts
        return (
            replace(judged, unguarded=(self._unasked(field.path, node, facts),))
            if missing or judged.unguarded
            else judged
        )

    def _index(self, node: AstNode, facts: Facts) -> _Insight:
        holder, index = node.children
        if index.text is not None:
            return self._field(node, index.text, facts)
        if index.number is not None and _lacks(holder, index.number):
            return _Insight(unguarded=(Unguarded((WRITTEN,), node.position, ""),))
        path = self._path(holder)
        judged = _all([self._used(holder, facts, _LOOPED, within=True), self._used(index, facts)])
        if self.strict and path is not None and (len(path) == 1 or index.number is None):
            judged = replace(
                judged, unguarded=(*judged.unguarded, Unguarded(path, node.position, ""))
            )  # no guard is known for that
        return replace(judged, holds=frozenset())

    def _membership(self, node: AstNode, facts: Facts) -> _Insight:
        value, container = node.children
        judged = _all([self.judge(value, facts), self._used(container, facts, _LOOPED)])
        path = self._path(container)
        is_list = self._is(container, ("list",), facts)
        if path is None or value.text is None or is_list:
            return replace(judged, holds=frozenset())
        return replace(judged, holds=frozenset(), true=frozenset({Fact((*path, value.text), THERE)}))

    # -- logic -----------------------------------------------------------------------------------------------------

    def _logic(self, node: AstNode, facts: Facts) -> _Insight:
        """Who stands at the right is only asked, or only counts, where the left says so."""
        left = self._used(node.children[0], facts, ("bool",))
        if node.name == "!_":
            return replace(left, true=left.false, false=left.true)
        if node.name == "_?_:_":
            return self._choice(node, left, facts)
        both = node.name == "_&&_"
        right = self._used(node.children[1], facts | (left.true if both else left.false), ("bool",))
        return _Insight(
            unguarded=(*left.unguarded, *right.unguarded),
            true=left.true | right.true if both else left.true & right.true,
            false=left.false & right.false if both else left.false | right.false,
        )

    def _choice(self, node: AstNode, condition: _Insight, facts: Facts) -> _Insight:
        first = self.judge(node.children[1], facts | condition.true)
        second = self.judge(node.children[2], facts | condition.false)
        return _Insight(
            unguarded=(*condition.unguarded, *first.unguarded, *second.unguarded),
            true=(condition.true | first.true) & (condition.false | second.true),
            false=(condition.true | first.false) & (condition.false | second.false),
            may_be=first.may_be | second.may_be,
            holds=first.holds | second.holds,
        )

    def _comparison(self, node: AstNode, facts: Facts) -> _Insight:
        """Any two values can be compared. With null, or of a type with a name, that is a guard."""
        judged = replace(_all(self.judge(child, facts) for child in node.children), holds=frozenset())
        equal, other = self._told(*node.children)
        return (
            replace(judged, true=equal, false=other)
            if node.name == "_==_"
            else replace(judged, true=other, false=equal)
        )

    def _told(self, left: AstNode, right: AstNode) -> tuple[Facts, Facts]:
        """What follows where two are equal, and where they are not."""
        for one, other in ((left, right), (right, left)):
            if other.constant == NULL and (path := self._path(one)) is not None:
                return NOTHING, frozenset({Fact(path, SOME)})
            if one.calls("type") and other.kind is ExprKind.VARIABLE and other.name in TYPES:
                path = self._path(one.children[0])
                if path is not None:
                    some = frozenset({Fact(path, SOME)})
                    return (NOTHING, some) if other.name == NULL else (some | {Fact(path, other.name)}, NOTHING)
        return NOTHING, NOTHING

    # -- functions and loops ---------------------------------------------------------------------------------------

    def _call(self, node: AstNode, facts: Facts) -> _Insight:
        used = []
        for child in node.children:
            others = [each.constant for each in node.children if each is not child]
            used.append(self._used(child, facts, _borne(node.name, others)))
        return _all(used)

    def _loop(self, node: AstNode, facts: Facts) -> _Insight:
        over, *rest = node.children
        judged = self._used(over, facts, _LOOPED, within=True)
        doubtful = self.doubtful - {node.name}
        kept = frozenset(fact for fact in facts if fact.path[0] != node.name)
        if self.strict and self._is(over, _LOOPED, facts):
            doubtful |= {node.name}
            if self._is(over, ("map",), facts):
                kept |= {Fact((node.name,), "string")}
        inner = _Guards(doubtful, self.strict)
        return _all([replace(judged, holds=frozenset()), *(inner.judge(part, kept) for part in rest)])


def _lacks(holder: AstNode, key: str | int, *, tested: bool = False) -> bool:
    """Whether something that is written out has no such field or place, in one of the ways in which it may come out.

    `tested`: by `has`, which any map bears.
    """
    match holder.kind:
        case ExprKind.CONSTANT:
            return True
        case ExprKind.LIST:
            return not isinstance(key, int) or not 0 <= key < len(holder.children)
        case ExprKind.MAP:
            return not tested and all(written.text != key for written in holder.children[::2])
    if holder.calls("_?_:_"):
        return any(_lacks(branch, key, tested=tested) for branch in holder.children[1:])
    return holder.calls("dyn") and _lacks(holder.children[0], key, tested=tested)


def _borne(function: str, others: list[str]) -> Iterable[str]:
    """The types of an operand that a function bears, whatever its value, beside literals of those types."""
    if function == "size":
        return _SIZED
    if function in _TEXT and others == ["string"]:
        return ("string",)
    if function in _COMPARISONS and others == ["string"]:
        return ("string",)
    if function in _COMPARISONS and others[0] in _NUMBERS:
        return ("double",)
    return ()
