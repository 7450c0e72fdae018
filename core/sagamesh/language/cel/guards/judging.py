"""What an expression looks into without asking whether it is there, where it is often not: then it would fail.

Sound, not complete: what passes cannot fail for that; what does not pass may be right, and can be written otherwise. A
guard stands at the left of what it guards, by `&&`, `||` or `? :`. In `compensation.body`, `result` and `request` may
be null, and everywhere the data of an event whose step may be skipped: ask `result != null`; what is in them otherwise
is between saga and app. In `emits[].when` nobody knows what an answer holds: ask `type(response.body) == map`, and
`has(...)` of each field. What a field holds that is there, is again between saga and app.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from sagamesh.language.cel.expressions import Place
from sagamesh.language.cel.guards.facts import (
    BODY,
    EVENT,
    HEADERS,
    NOBODY,
    NOTHING,
    NULL,
    SOME,
    THERE,
    TYPE,
    WRITTEN,
    Fact,
    Facts,
    Heard,
    Key,
    Path,
    Unguarded,
    asked,
)
from sagamesh.language.cel.guards.parts import (
    COMPARISONS,
    borne,
    is_list,
    key,
    lacks,
    named_event,
    places,
    type_named,
)
from sagamesh.language.cel.syntax import AstNode
from sagamesh.language.cel.wire import ExprKind

_LOOPED = frozenset({"map", "list"})
_KEYS = frozenset({"string", "bool", "double", "int", "uint"})  # what may be asked for in a map
_TURNED = {"_<_": "_>_", "_<=_": "_>=_", "_>_": "_<_", "_>=_": "_<=_"}


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


def unguarded(root: AstNode, place: Place, heard: Heard = NOBODY, known: Facts = NOTHING) -> tuple[Unguarded, ...]:
    """The first use without it of each guard that is missing. `known`: what holds wherever this is evaluated."""
    guards = _guards(place, heard)
    judged = guards.judge(root, known)
    uses = (*judged.unguarded, *guards.misused(root, judged.may_be))
    return tuple({use.guard: use for use in reversed(uses)}.values())[::-1]


def required(when: AstNode, heard: Heard) -> Facts:
    """What holds wherever a step runs that has this `when`, or fails since its `when` fails.

    So only what stands alone, or is joined to the rest by `&&`, and cannot fail itself.
    """
    if when.calls("_&&_"):
        return frozenset().union(*(required(part, heard) for part in when.children))
    return _guards(Place.WHEN, heard).judge(when, NOTHING).true if when.calls("_==_", "_!=_") else NOTHING


def _guards(place: Place, heard: Heard) -> _Guards:
    undo = frozenset({"result", "request"}) if place is Place.COMPENSATION_BODY else frozenset()
    return _Guards(heard.null() | undo, frozenset({BODY, HEADERS} if place is Place.EMIT else ()), heard)


def _all(parts: Iterable[_Insight]) -> _Insight:
    """What is true of something that is made of these, and is none of them itself."""
    parts = tuple(parts)
    return _Insight(
        unguarded=tuple(use for part in parts for use in part.unguarded),
        holds=frozenset(name for part in parts for name in part.may_be | part.holds),
    )


@dataclass(frozen=True, slots=True)
class _Guards:
    """Judges expressions over variables that may be `null`, and over `any`, of which nothing is known."""

    null: frozenset[str]
    any: frozenset[str]
    heard: Heard

    def misused(self, node: AstNode, variables: Iterable[str]) -> Iterator[Unguarded]:
        """A variable of which something is asked that not all of its values bear."""
        for name in sorted(variables):
            guard = f"type({name}) == ..." if name in self.any else f"{name} != null"
            yield Unguarded((name,), node.position, "" if name == HEADERS else guard)

    def _unasked(self, path: Path, node: AstNode, facts: Facts) -> Unguarded:
        """A field that is read: what an author should ask of the path to it, from its beginning."""
        variable, *fields = path
        if variable not in self.any:
            return Unguarded(path, node.position, f"{variable} != null")
        holder = "list" if fields and isinstance(fields[0], int) else "map"
        is_known = variable == HEADERS or Fact((variable,), holder) in facts
        questions = [] if is_known else [f"type({variable}) == {holder}"]
        for end, field in enumerate(fields, start=1):
            if Fact(path[: end + 1], THERE) not in facts:
                questions.append(asked(path[:end], field))
        return Unguarded(path, node.position, " && ".join(questions))

    def judge(self, node: AstNode, facts: Facts) -> _Insight:
        match node.kind:
            case ExprKind.CONSTANT:
                return HARMLESS
            case ExprKind.VARIABLE:
                return self._variable(node.name, facts)
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
        """The chain of fields that a part is, from a variable that may be null, or of any type."""
        if node.kind is ExprKind.VARIABLE:
            return (node.name,) if node.name in self.null | self.any else None
        if (root := self._data(node)) is not None:
            return (root,) if root in self.null else None
        if node.calls("dyn"):
            return self._path(node.children[0])
        if node.kind is ExprKind.FIELD and not node.tested:
            field: str | int | Key | None = node.name
        elif node.calls("_[_]"):
            field = key(node.children[1])
        else:
            return None
        path = self._path(node.children[0])
        if path is None or field is None:
            return None
        if not isinstance(field, str) and (path[0] not in self.any or (isinstance(field, int) and len(path) > 1)):
            return None
        return (*path, field)

    def _data(self, node: AstNode) -> str | None:
        """The data of an event that is named, as one variable."""
        if node.kind is ExprKind.FIELD and not node.tested and node.name == "data":
            event = named_event(node.children[0])
        else:
            event = named_event(node.children[0]) if node.calls("_[_]") and node.children[1].text == "data" else None
        return None if event is None else self.heard.root(event)

    def _variable(self, name: str, facts: Facts) -> _Insight:
        if name == HEADERS and name in self.any:  # surely a map, of which no field is sure
            return _Insight(holds=frozenset({HEADERS}))
        if name not in self.any and (name not in self.null or Fact((name,), SOME) in facts):
            return HARMLESS
        one = frozenset({name})
        return _Insight(may_be=one, holds=one)

    def _is_strict(self, path: Path | None) -> bool:
        return path is not None and path[0] in self.any

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
        if (data := self._data(node)) is not None:
            return self._variable(data, facts)
        if named_event(holder) is not None:
            return HARMLESS  # whatever came has an id, a type and a time
        if lacks(holder, name, tested=node.tested):
            return _Insight(unguarded=(Unguarded((WRITTEN, name), node.position, ""),))
        path = self._path(holder)
        judged = replace(self._used(holder, facts, ("map",), within=True), holds=frozenset())
        if path is not None and judged.unguarded:
            judged = replace(judged, unguarded=(self._unasked(path if node.tested else (*path, name), node, facts),))
        if path is None or not self._is_strict(path):
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
        if (event := named_event(node)) is not None:
            return replace(self._variable(self.heard.root(event), facts), may_be=frozenset())
        if index.text is not None:
            return self._field(node, index.text, facts)
        if index.number is not None and lacks(holder, index.number):
            return _Insight(unguarded=(Unguarded((WRITTEN,), node.position, ""),))
        by = self._used(index, facts, ("string",))
        judged = replace(_all([self._used(holder, facts, _LOOPED, within=True), by]), holds=frozenset())
        path, field = self._path(holder), key(index)
        if path is None or not self._is_strict(path) or (isinstance(field, int) and len(path) > 1):
            return judged
        if field is None:  # no guard is known for that
            return replace(judged, unguarded=(*judged.unguarded, Unguarded(path, node.position, "")))
        of = "list" if isinstance(field, int) else "map"
        if Fact((*path, field), THERE) in facts and (len(path) > 1 or self._is(holder, (of,), facts)):
            return judged
        return replace(judged, unguarded=(self._unasked((*path, field), node, facts), *by.unguarded))

    def _membership(self, node: AstNode, facts: Facts) -> _Insight:
        """Of a list any value may be asked for, of a map only what may be the name of a field."""
        value, container = node.children
        listed = self._is(container, ("list",), facts) or is_list(container)
        asked_for = self.judge(value, facts) if listed else self._used(value, facts, _KEYS)
        judged = replace(_all([asked_for, self._used(container, facts, _LOOPED)]), holds=frozenset())
        path, field = self._path(container), key(value)
        if path is None or field is None or isinstance(field, int) or listed:
            return judged
        return replace(judged, true=frozenset({Fact((*path, field), THERE)}))

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
            if one.calls("type") and (of := type_named(other)) is not None:
                path = self._path(one.children[0])
                if path is not None:
                    some = frozenset({Fact(path, SOME)})
                    return (NOTHING, some) if of == NULL else (some | {Fact(path, of)}, NOTHING)
            if one.kind is ExprKind.VARIABLE and one.name == TYPE and other.text is not None:
                return self._came(other.text)
        return self._sized("_==_", left, right)

    def _came(self, event: str) -> tuple[Facts, Facts]:
        """The same where it is asked which event came."""
        if not self.heard.by:
            return NOTHING, NOTHING
        some = frozenset({Fact((EVENT,), SOME)})
        others = tuple(each for each in self.heard.by if each != event)
        silent, silent_others = self.heard.without_data((event,)), self.heard.without_data(others)
        return NOTHING if silent else some, NOTHING if silent_others else some

    def _sized(self, function: str, left: AstNode, right: AstNode) -> tuple[Facts, Facts]:
        """The same where a size is compared: which places a list has, where that holds, and where it does not."""
        if right.calls("size"):
            return self._sized(_TURNED.get(function, function), right, left)
        path = self._path(left.children[0]) if left.calls("size") else None
        if path is None or right.number is None:
            return NOTHING, NOTHING
        least = {"_>_": right.number + 1, "_>=_": right.number, "_==_": right.number}.get(function, 0)
        otherwise = {"_<_": right.number, "_<=_": right.number + 1, "_==_": int(right.number == 0)}.get(function, 0)
        return places(path, least), places(path, otherwise)

    # -- functions and loops ---------------------------------------------------------------------------------------

    def _call(self, node: AstNode, facts: Facts) -> _Insight:
        used = []
        for child in node.children:
            others = [each.constant for each in node.children if each is not child]
            used.append(self._used(child, facts, borne(node.name, others)))
        if node.name not in COMPARISONS:
            return _all(used)
        true, false = self._sized(node.name, *node.children)
        return replace(_all(used), true=true, false=false)

    def _loop(self, node: AstNode, facts: Facts) -> _Insight:
        over, *rest = node.children
        judged = self._used(over, facts, _LOOPED, within=True)
        kept = frozenset(fact for fact in facts if fact.path[0] != node.name and Key(node.name) not in fact.path)
        null, free, path = self.null - {node.name}, self.any - {node.name}, self._path(over)
        if self._is_strict(path) and self._is(over, _LOOPED, facts):
            free |= {node.name}
            if path is not None and self._is(over, ("map",), facts):
                kept |= {Fact((node.name,), "string")}
                kept |= {Fact((*path, Key(node.name)), THERE)} if path[0] != node.name else NOTHING
        heard = self.heard
        if node.name == "events":  # no event is named within
            null, heard = frozenset(name for name in null if not name.startswith("events[")), heard._replace(by=())
        inner = _Guards(null, free, heard)
        return _all([replace(judged, holds=frozenset()), *(inner.judge(part, kept) for part in rest)])
