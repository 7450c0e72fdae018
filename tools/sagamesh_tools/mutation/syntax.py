"""What `sites` asks of a syntax tree: pure questions about one node."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain


def own_lines(node: ast.stmt | ast.match_case) -> range:
    """The lines of a statement, without those of the statements in it."""
    if isinstance(node, ast.match_case):
        return range(node.pattern.lineno, _end(node.guard or node.pattern) + 1)
    first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", ()))])
    match getattr(node, "body", None) or getattr(node, "cases", None):
        case [ast.match_case(pattern=inner), *_] | [ast.stmt() as inner, *_]:
            return range(first, max(inner.lineno, node.lineno + 1))
        case _:
            return range(first, _end(node) + 1)


def _end(node: ast.stmt | ast.expr | ast.pattern) -> int:
    assert node.end_lineno is not None
    return node.end_lineno


def rebound(function: ast.AST) -> frozenset[str]:
    """The local names that are bound more than once."""
    return frozenset(name for name, times in Counter(_bound(function)).items() if times > 1)


def _bound(function: ast.AST) -> Iterator[str]:
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg


def has_contrary(test: ast.expr) -> bool:
    """Whether a change inside of a test makes it the contrary: of a `not`, one comparison, a constant."""
    return isinstance(test, ast.Constant | ast.UnaryOp) or (isinstance(test, ast.Compare) and len(test.ops) == 1)


def idle_returns(body: Sequence[ast.stmt]) -> Iterator[ast.Return]:
    """The returns of nothing at which the function ends anyway: nothing comes after them, whichever branch it is."""
    match body[-1:]:
        case [ast.Return(value=None | ast.Constant(value=None)) as last]:
            yield last
        case [ast.With(body=inner) | ast.AsyncWith(body=inner)]:
            yield from idle_returns(inner)
        case [ast.If(body=inner, orelse=otherwise)]:
            yield from chain(idle_returns(inner), idle_returns(otherwise))
        case [ast.Try() as last]:
            ends = [last.orelse or last.body, *(handler.body for handler in last.handlers)]
            yield from chain.from_iterable(map(idle_returns, ends))
        case [ast.Match(cases=cases)]:
            yield from chain.from_iterable(idle_returns(case.body) for case in cases)


def logs(function: ast.expr) -> bool:
    """Whether a call of it logs: a method of `logger`, of `self.logger`, or of the module `logging`."""
    if not isinstance(function, ast.Attribute):
        return False
    whose = function.value
    return getattr(whose, "id", getattr(whose, "attr", None)) in {"logger", "logging"}
