"""What `sites` asks of a syntax tree: pure questions about one node."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator


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


def is_nothing(value: ast.expr | None) -> bool:
    return value is None or (isinstance(value, ast.Constant) and value.value is None)


def logs(function: ast.expr) -> bool:
    """Whether a call of it logs: a method of `logger`, of `self.logger`, or of the module `logging`."""
    if not isinstance(function, ast.Attribute):
        return False
    whose = function.value
    return getattr(whose, "id", getattr(whose, "attr", None)) in {"logger", "logging"}
