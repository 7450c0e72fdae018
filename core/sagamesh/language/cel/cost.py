"""What a checked CEL expression is made of, and how much it could cost.

No evaluation can be interrupted, so an expression is bounded before it runs: what is certain from its text is refused
here (`survey`), what depends on the data is measured against `Survey.excess` before each evaluation. The tree is read
by `syntax`; compiling and evaluating are `expressions`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from sagamesh.errors import ExpressionError
from sagamesh.language.cel.syntax import AstNode
from sagamesh.language.cel.wire import ExprKind

MAX_NODES = 200  # parts of an expression, five times the largest of our examples; 160 take 0.1 ms
MAX_LOOPS = 2  # one within the other: each further one multiplies the steps once more
MAX_SUMS = 8  # `_+_` beside a loop: each can grow what the next one adds
MAX_ITEMS = 1000  # `map` and `filter` copy their result at every step: 1,000 items take 20 ms, 10,000 take 2.5 s
MAX_STEPS = 10_000  # the library's own budget for all loops together
MAX_WORK = 8 << 20  # characters read, or values compared: under half a second
MAX_PATTERN = 256 << 10  # of regular expressions, compiled anew at each call: under half a second

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
_LITERAL_ARGUMENT = frozenset({"contains", "matches"})  # a long needle, or a hostile pattern, would come with the data
_DIVISIONS = frozenset({"_/_", "_%_"})
_TEXT_SUMS = frozenset({"add_string", "add_bytes"})
_COLLECTIONS = (ExprKind.LIST, ExprKind.MAP)
_REPETITION = re.compile(r"\{(\d+)(?:,(\d*))?\}")
_UNICODE_CLASS = 2000  # what `\pL` costs, in characters of an ordinary pattern


@dataclass(frozen=True, slots=True)
class _Placed:
    node: AstNode
    depth: int  # the loops that repeat it
    ranged: bool  # whether a loop goes over what it is part of


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What an expression reads, and by which factors its data multiply."""

    variables: frozenset[str]
    events: frozenset[str]
    patterns: tuple[str, ...]
    loops: int
    nesting: int
    literal: int  # the longest list or map written out for a loop to go over
    range_sums: int  # additions that may lengthen what a loop goes over
    text_sums: int
    reads_text: bool  # within a loop
    comparisons: int  # in values that may be large

    @property
    def pattern_weight(self) -> int:
        return sum(map(_weight, self.patterns))

    def excess(self, items: int, text: int, values: int) -> str | None:
        """Why data of this size are too large: the longest list or map, the longest string, all values."""
        longest = max(items, self.literal) << self.range_sums
        if self.loops and longest > MAX_ITEMS:
            grown = f", which {self.range_sums} additions may double each," if self.range_sums else ""
            return f"a list or map of {items} items{grown} is over the {MAX_ITEMS} that a loop may go over"
        steps = max(1, min(longest**self.nesting, MAX_STEPS))
        if (steps if self.reads_text else 1) * text * (1 + self.text_sums) > MAX_WORK:
            return f"a string of {text} characters is too long to be read {steps} times"
        if steps * values * self.comparisons > MAX_WORK:
            return f"{values} values are too many to be compared {steps * self.comparisons} times"
        if steps * self.pattern_weight > MAX_PATTERN:
            return f"a regular expression is too costly to be matched {steps} times"
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
        patterns=tuple(node.children[-1].text or "" for node in nodes if node.calls("matches")),
        loops=loops,
        nesting=max(each.depth for each in placed),
        literal=max(
            (len(each.node.children) for each in placed if each.ranged and each.node.kind in _COLLECTIONS), default=0
        ),
        range_sums=sum(each.ranged and _lengthens(each.node) for each in placed),
        text_sums=sum(not node.overloads.isdisjoint(_TEXT_SUMS) for node in nodes),
        reads_text=any(each.depth > 0 and _reads_text(each.node) for each in placed),
        comparisons=sum(map(_comparisons, nodes)),
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


def _reads_text(node: AstNode) -> bool:
    return node.kind is ExprKind.CALL and (node.name in _READERS or not node.overloads.isdisjoint(_TEXT_SUMS))


def _comparisons(node: AstNode) -> int:
    """How many pairs of large values it may compare: none beside a literal, else what stands on either side."""
    if node.name not in _COMPARISONS or any(map(_is_literal, node.children)):
        return 0
    variables = sum(each.node.kind is ExprKind.VARIABLE for each in _place(node))
    return (variables + 1) // 2


def _is_literal(node: AstNode) -> bool:
    return node.kind is ExprKind.CONSTANT or (node.kind is ExprKind.LIST and all(map(_is_literal, node.children)))


def _weight(pattern: str) -> int:
    """A bound of what compiling it costs: RE2 writes repetitions out, and a Unicode class is hundreds of ranges."""
    repeated = prod(max(1, int(low), int(high or 0)) for low, high in _REPETITION.findall(pattern))
    return (len(pattern) + _UNICODE_CLASS * pattern.lower().count("\\p")) * repeated
