"""What a checked CEL expression is made of, and how much it could cost.

No evaluation can be interrupted, and while one runs nothing else does: no lease is kept, no request answered. So an
expression is bounded before it runs, to about a tenth of a second for each kind of work: what is certain from its text
is refused here (`survey`), what depends on the data is measured against `Survey.excess` before each evaluation. The
tree is read by `syntax`, what regular expressions are made of by `patterns`; compiling and evaluating are
`expressions`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from sagamesh.errors import ExpressionError
from sagamesh.language.cel import patterns
from sagamesh.language.cel.syntax import AstNode
from sagamesh.language.cel.wire import ExprKind

MAX_NODES = 200  # parts of an expression, five times the largest of our examples; 160 take 0.1 ms
MAX_LOOPS = 2  # one within the other: each further one multiplies the steps once more
MAX_SUMS = 8  # `_+_` beside a loop: each can grow what the next one adds
MAX_ITEMS = 1000  # `map` and `filter` copy their result at every step: 1,000 items take 20 ms, 10,000 take 2.5 s
MAX_STEPS = 10_000  # the library's own budget for all loops together
MAX_READ = 96 << 20  # characters whose size is counted, at a nanosecond each; other reading by its weight
MAX_MADE = 64 << 10  # pieces of text within loops: numbers are written by several functions, 1.5 us each
MAX_COMPARED = 2 << 20  # values, at up to 90 ns, those of maps
MAX_COPIED = 4 << 20  # items, where lists are added, at 30 ns
MAX_PATTERN = 256 << 10  # instructions of regular expressions, compiled anew at each call, at 300 ns
MAX_MATCHED = 16 << 20  # instructions times characters, at 1 to 8 ns: text may be looked at by each of them

EXAMPLE_EVENT = "order.placed"
"""In messages about an expression, which know no saga: `expression_checks` writes one of the saga in its place."""

_OPERATORS = frozenset(
    {"_?_:_", "_&&_", "_||_", "!_", "-_", "_+_", "_-_", "_*_", "_/_", "_%_", "_[_]"}
    | {"_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_", "@in", "@not_strictly_false"}
)
_TIMES = frozenset(
    {"getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getFullYear", "getMonth"}
    | {"getHours", "getMinutes", "getSeconds", "getMilliseconds"}
)
_READERS = frozenset(  # their time grows with the text they are given
    {"size", "contains", "startsWith", "endsWith", "matches"}
    | {"bool", "bytes", "double", "duration", "int", "string", "timestamp", "uint"}
)
_ALLOWED = _OPERATORS | _TIMES | _READERS | {"dyn", "type"}
_COMPARISONS = frozenset({"_==_", "_!=_", "@in"})
_PASSING = frozenset({"_<_", "_<=_", "_>_", "_>=_", "startsWith", "endsWith"}) | _COMPARISONS
"""They read text as fast as memory is."""
_LITERAL_ARGUMENT = frozenset({"contains", "matches"})  # a long needle, or a hostile pattern, would come with the data
_DIVISIONS = frozenset({"_/_", "_%_"})
_TEXT_SUMS = frozenset({"add_string", "add_bytes"})
_COLLECTIONS = (ExprKind.LIST, ExprKind.MAP)
_READ = 64
"""The weight of a character that is read once, a nanosecond. Comparing and looking up take far less."""
_COMPARED = 2  # measured, at the size of an event
_LOOKED_UP = 8  # likewise
_SEARCHED = 5 * _READ  # by `contains`; and one more for each character of what is searched for


@dataclass(frozen=True, slots=True)
class _Placed:
    node: AstNode
    depth: int  # the loops that repeat it
    ranged: bool  # whether a loop goes over what it is part of


@dataclass(frozen=True, slots=True)
class Repeated:
    """An amount of work: so much of it outside of loops, within one, within two."""

    by_depth: tuple[int, ...]

    @classmethod
    def of(cls, placed: Iterable[_Placed], weight: Callable[[AstNode], int]) -> Repeated:
        """The weights of these, where they stand."""
        weights: Counter[int] = Counter()
        for each in placed:
            weights[each.depth] += weight(each.node)
        return cls(tuple(weights[depth] for depth in range(max(weights, default=0) + 1)))

    def times(self, longest: int) -> int:
        """All of it, where loops go over so many items."""
        return sum(weight * max(1, min(longest**depth, MAX_STEPS)) for depth, weight in enumerate(self.by_depth))


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What an expression reads, and by which factors its data multiply."""

    variables: frozenset[str]
    events: frozenset[str]
    patterns: tuple[str, ...]
    loops: int
    literal: int  # the longest list or map written out for a loop to go over
    range_sums: int  # additions that may lengthen what a loop goes over
    list_sums: int
    text_sums: int
    read: Repeated  # times that text is read, in parts of `_READ`
    made: Repeated  # texts
    copied: Repeated  # lists
    compared: Repeated  # pairs of values that may be large
    compiled: Repeated  # instructions of regular expressions
    matched: Repeated

    @property
    def pattern_weight(self) -> int:
        return sum(map(patterns.instructions, self.patterns))

    def excess(self, items: int, text: int, largest: int) -> str | None:
        """Why data of this size are too large: the longest list or map, the longest string, the most values at once."""
        longest = max(items, self.literal) << self.range_sums
        if self.loops and longest > MAX_ITEMS:
            grown = f", which {self.range_sums} additions may double each," if self.range_sums else ""
            return f"a list or map of {items} items{grown} is over the {MAX_ITEMS} that a loop may go over"
        length = text * (1 + self.text_sums)
        if (reading := self.read.times(longest)) * length > MAX_READ * _READ:
            return f"a string of {text} characters is too long to be read {max(1, reading // _READ)} times"
        if (made := self.made.times(longest)) > MAX_MADE and self.loops:
            return f"text is made {made} times, over the limit of {MAX_MADE}"
        if (pairs := self.compared.times(longest)) * largest > MAX_COMPARED:
            return f"{largest} values are too many to be compared {pairs} times"
        if (sums := self.copied.times(longest)) * (1 + self.list_sums) * largest > MAX_COPIED:
            return f"a list of {largest} values is too long to be added {sums} times"
        if self.compiled.times(longest) > MAX_PATTERN:
            return "a regular expression is too costly, or matched too often"
        if self.matched.times(longest) * length > MAX_MATCHED:
            return f"a string of {text} characters is too long for the regular expressions that look at it"
        return None


def survey(root: AstNode) -> Survey:
    """Raise ExpressionError where the expression by itself could cost too much."""
    placed = tuple(_place(root))
    nodes = tuple(each.node for each in placed)
    for node in nodes:
        _check_node(node)
    loops = sum(node.kind is ExprKind.LOOP for node in nodes)
    _check_amounts(root, len(nodes), loops, sum(node.name == "_+_" for node in nodes))
    surveyed = Survey(
        variables=frozenset(node.name for node in nodes if node.kind is ExprKind.VARIABLE),
        events=_event_names(nodes),
        patterns=tuple(filter(None, map(_pattern, nodes))),
        loops=loops,
        literal=max(
            (len(each.node.children) for each in placed if each.ranged and each.node.kind in _COLLECTIONS), default=0
        ),
        range_sums=sum(each.ranged and _lengthens(each.node) for each in placed),
        list_sums=sum(map(_lengthens, nodes)),
        text_sums=sum(map(_adds_text, nodes)),
        read=Repeated.of(placed, _reading),
        made=Repeated.of(placed, lambda node: node.calls("string") or _adds_text(node)),
        copied=Repeated.of(placed, _lengthens),
        compared=Repeated(tuple(map(sum, zip(*map(_comparisons, placed), strict=True)))),
        compiled=Repeated.of(placed, _compiling),
        matched=Repeated.of(placed, _matching),
    )
    if why := surveyed.excess(0, 0, 0):  # by its literals alone
        raise ExpressionError(f"{root.position}: {why}")
    return surveyed


def _place(node: AstNode, depth: int = 0, ranged: bool = False) -> Iterator[_Placed]:
    yield _Placed(node, depth, ranged)
    for index, child in enumerate(node.children):
        if node.kind is not ExprKind.LOOP:
            yield from _place(child, depth, ranged)
        elif index == 0:
            yield from _place(child, depth, ranged=True)
        else:
            yield from _place(child, depth + 1, ranged)


def _check_node(node: AstNode) -> None:
    if node.kind is ExprKind.MAP and node.name:
        raise ExpressionError(f"{node.position}: {node.name} cannot be built here; write a map: {{...}}")
    if node.kind is not ExprKind.CALL:
        return
    if node.name not in _ALLOWED:
        raise ExpressionError(f"{node.position}: the function {node.name} is not available here")
    if node.name not in _READERS and any(map(_is_time_of_events, node.children)):
        raise ExpressionError(f'{node.position}: this time is a string; write timestamp(events["..."].time)')
    if node.name in _DIVISIONS and node.children[-1].number == 0:
        raise ExpressionError(f"{node.position}: this divides by zero")
    if node.name in _LITERAL_ARGUMENT and node.children[-1].text is None:
        raise ExpressionError(f'{node.position}: {node.name} takes a string literal, as in {node.name}("...")')


def _check_amounts(root: AstNode, nodes: int, loops: int, sums: int) -> None:
    if nodes > MAX_NODES:
        raise ExpressionError(f"{root.position}: the expression has {nodes} parts, over the limit of {MAX_NODES}")
    if loops > MAX_LOOPS:
        raise ExpressionError(
            f"{root.position}: {loops} loops (all, exists, exists_one, map, filter) are over the limit of {MAX_LOOPS}"
        )
    if loops and sums > MAX_SUMS:
        raise ExpressionError(
            f"{root.position}: {sums} additions beside a loop are over the limit of {MAX_SUMS} "
            "(map and filter count as one each)"
        )


def _event_names(nodes: tuple[AstNode, ...]) -> frozenset[str]:
    """Every use of `events` by a literal, so that the projection knows exactly which events a rule needs."""
    named = {id(variable): name for variable, name in map(_named_event, nodes) if variable}
    for node in nodes:
        if node.kind is ExprKind.VARIABLE and node.name == "events" and named.get(id(node)) is None:
            raise ExpressionError(
                f"{node.position}: events takes its event type as a string literal: "
                f'write events["{EXAMPLE_EVENT}"].data, or "{EXAMPLE_EVENT}" in events'
            )
    return frozenset(name for name in named.values() if name is not None)


def _named_event(node: AstNode) -> tuple[AstNode | None, str | None]:
    if node.calls("_[_]"):
        variable, name = node.children
    elif node.calls("@in"):
        name, variable = node.children
    else:
        return None, None
    is_events = variable.kind is ExprKind.VARIABLE and variable.name == "events"
    return (variable, name.text) if is_events else (None, None)


def _is_time_of_events(node: AstNode) -> bool:
    return node.kind is ExprKind.FIELD and node.name == "time" and _named_event(node.children[0])[0] is not None


def _lengthens(node: AstNode) -> bool:
    """Whether it may add lists; not the addition by which `map` and `filter` collect what they keep."""
    return "add_list" in node.overloads and node.children[0].name != "@result"


def _adds_text(node: AstNode) -> bool:
    return not node.overloads.isdisjoint(_TEXT_SUMS)


def _reading(node: AstNode) -> int:
    """What it does with each character of text that it is given."""
    if node.kind is ExprKind.MAP:
        return _LOOKED_UP * sum(not _is_literal(key) for key in node.children[::2])
    if node.kind is not ExprKind.CALL:
        return 0
    if node.name in _PASSING:
        return 0 if any(map(_is_literal, node.children)) else _COMPARED
    if node.name == "_[_]":
        return 0 if _is_literal(node.children[1]) else _LOOKED_UP
    if node.name == "contains":
        return _SEARCHED + len(node.children[-1].text or "")
    return _READ if node.name in _READERS or _adds_text(node) else 0


def _comparisons(placed: _Placed) -> tuple[int, ...]:
    """How many pairs of large values it may compare, by depth: none beside a literal, else what stands on either side.

    Of `in`, a literal on the left is compared with all that stands on the right.
    """
    node, pairs = placed.node, [0] * (MAX_LOOPS + 1)
    if node.kind is ExprKind.CALL and node.name in _COMPARISONS:
        literal = map(_is_literal, node.children[1:] if node.name == "@in" else node.children)
        if not any(literal):
            within = Counter(each.depth for each in _place(node, placed.depth) if each.node.kind is ExprKind.VARIABLE)
            for depth, variables in within.items():
                pairs[depth] = (variables + 1) // 2
    return tuple(pairs)


def _is_literal(node: AstNode) -> bool:
    return node.kind is ExprKind.CONSTANT or (node.kind is ExprKind.LIST and all(map(_is_literal, node.children)))


def _pattern(node: AstNode) -> str:
    return node.children[-1].text or "" if node.calls("matches") else ""


def _matching(node: AstNode) -> int:
    return patterns.instructions(_pattern(node)) if node.calls("matches") else 0


def _compiling(node: AstNode) -> int:
    return patterns.AT_LEAST + _matching(node) if node.calls("matches") else 0
