"""Where a module's source can be changed at a single point, and into what: spans of its text, found in its syntax tree.

Not changed is what has no effect or is no behaviour: docstrings, annotations, types written as expressions, `assert`,
`if TYPE_CHECKING`, the texts of logging calls, a bare `return` where the function ends anyway, and keywords like
`frozen`. What is made of the edits: `changes`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from sagamesh_tools.mutation.syntax import has_contrary, idle_returns, logs, own_lines, rebound

COMPARISONS: dict[type[ast.cmpop], tuple[str, tuple[str, ...]]] = {
    ast.Lt: ("<", ("<=", ">=")),
    ast.LtE: ("<=", ("<", ">")),
    ast.Gt: (">", (">=", "<=")),
    ast.GtE: (">=", (">", "<")),
    ast.Eq: ("==", ("!=",)),
    ast.NotEq: ("!=", ("==",)),
    ast.Is: ("is", ("is not",)),
    ast.IsNot: ("is not", ("is",)),
    ast.In: ("in", ("not in",)),
    ast.NotIn: ("not in", ("in",)),
}
ARITHMETIC: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"),
    ast.Mod: ("%", "*"),
    ast.Pow: ("**", "*"),
}
OPPOSITES = {"any": "all", "all": "any", "min": "max", "max": "min"}
DROPPED = (ast.AugAssign, ast.Break, ast.Continue, ast.Delete, ast.Raise, ast.Return)
"""Statements that can be left out, whatever they hold; others only in some cases."""
INERT = frozenset({"frozen", "kw_only", "slots", "gc"})
"""Keywords that refuse a use or save memory: code that is right does the same without them."""
TYPE_MAKERS = frozenset({"cast", "NewType", "ParamSpec", "TypeVar"})
GENERICS = frozenset({"Annotated", "Callable", "Literal", "dict", "frozenset", "list", "set", "tuple", "type"})
LOOSE = (ast.BoolOp, ast.IfExp, ast.Lambda, ast.NamedExpr)
"""What needs parentheses where another expression takes it in."""


@dataclass(frozen=True, kw_only=True)
class SourceEdit:
    """`text` in the place of the bytes from `start` to `end`."""

    function: str
    kind: str
    start: int
    end: int
    text: str
    statement: range


def edits(text: bytes) -> list[SourceEdit]:
    """All of them, from the top. Raises SyntaxError."""
    collector = _Collector(text)
    collector.visit(ast.parse(text))
    return sorted(set(collector.edits), key=lambda edit: (edit.start, edit.end, edit.text))


class _Collector(ast.NodeVisitor):
    """Walks a module and notes the edits; knows the function and the statement in which it is."""

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.edits: list[SourceEdit] = []
        self._starts = [0, *(match.end() for match in re.finditer(b"\n", text))]
        self._path: list[str] = []
        self._statement = range(0)
        self._rebound: frozenset[str] = frozenset()
        self._idle: set[ast.AST] = set()

    # -- where it is -------------------------------------------------------------------------------------------------

    def visit(self, node: ast.AST) -> None:
        outer = self._statement
        if isinstance(node, ast.stmt | ast.match_case):
            self._statement = own_lines(node)
        if isinstance(node, DROPPED) and node not in self._idle:
            self._note("statement", node, "pass")
        super().visit(node)
        self._statement = outer

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._visit_function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._visit_function(node)

    def _visit_function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        outer, self._rebound = self._rebound, rebound(node)
        self._idle.update(idle_returns(node.body))
        self._path.append(node.name)
        self._visit_all([*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)])
        self._visit_all(node.body)
        self._path.pop()
        self._rebound = outer

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._path.append(node.name)
        self._visit_all([*node.decorator_list, *node.keywords, *node.body])
        self._path.pop()

    def _visit_all(self, nodes: Iterable[ast.AST]) -> None:
        for node in nodes:
            self.visit(node)

    # -- what is left as it is ---------------------------------------------------------------------------------------

    def visit_Assert(self, node: ast.Assert) -> None:
        """Says what holds anyway, mostly to the type checker."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None and not ast.unparse(node.annotation).endswith("TypeAlias"):
            self._note_assignment(node, [node.target])
            self.visit(node.value)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if not (isinstance(node.value, ast.Name) and node.value.id in GENERICS):
            self.generic_visit(node)

    def visit_keyword(self, node: ast.keyword) -> None:
        if node.arg not in INERT:
            self.visit(node.value)

    # -- statements --------------------------------------------------------------------------------------------------

    def visit_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):  # a docstring, or `...`
            self._note("statement", node, "pass")
            self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        if ast.unparse(node.targets[0]) != "__all__":
            self._note_assignment(node, node.targets)
            self.generic_visit(node)

    def _note_assignment(self, node: ast.stmt, targets: Sequence[ast.expr]) -> None:
        """Without the only assignment of a local name nothing runs at all, so that is left alone."""
        parts = [part for target in targets for part in ast.walk(target)]
        names = {part.id for part in parts if isinstance(part, ast.Name)}
        if names & self._rebound or any(isinstance(part, ast.Attribute | ast.Subscript) for part in parts):
            self._note("statement", node, "pass")

    # -- branches and negations --------------------------------------------------------------------------------------

    def visit_If(self, node: ast.If) -> None:
        if re.search(r"\bTYPE_CHECKING\b|\b__name__\b", ast.unparse(node.test)):
            self._visit_all(node.orelse)
            return
        self._negate("branch" if node.orelse else "negation", node.test)
        self.generic_visit(node)

    def visit_While(self, node: ast.While) -> None:
        self._negate("negation", node.test)
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        for condition in node.ifs:
            self._negate("negation", condition)
        self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        if not has_contrary(node.test):
            swapped = f"{self._inner(node.orelse)} if {self._inner(node.test)} else {self._inner(node.body)}"
            self._note("branch", node, swapped)
        self.generic_visit(node)

    def visit_match_case(self, node: ast.match_case) -> None:
        """A case that is never taken."""
        if node.guard is None:
            end = self._span(node.pattern)[1]
            self._note_span("branch", end, end, " if False")
        else:
            self._note("branch", node.guard, "False")
            self._negate("negation", node.guard)
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not):
            self._note("negation", node, self._inner(node.operand))
        self.generic_visit(node)

    def _negate(self, kind: str, test: ast.expr) -> None:
        if not has_contrary(test):
            self._note(kind, test, f"not {self._inner(test)}")

    # -- expressions -------------------------------------------------------------------------------------------------

    def visit_Compare(self, node: ast.Compare) -> None:
        for (left, right), operation in zip(pairwise([node.left, *node.comparators]), node.ops, strict=True):
            token, others = COMPARISONS[type(operation)]
            for other in others:
                self._note_between("comparison", left, right, token, other)
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if type(node.op) in ARITHMETIC:
            self._note_between("arithmetic", node.left, node.right, *ARITHMETIC[type(node.op)])
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        token, other = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        operands = [self._inner(value) for value in node.values]
        self._note("connective", node, f" {other} ".join(operands))
        for left_out in range(len(operands)):
            self._note("connective", node, f" {token} ".join(operands[:left_out] + operands[left_out + 1 :]))
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Name) and node.func.id in TYPE_MAKERS:
            self._visit_all(node.args[1:])
        elif logs(node.func):
            self._visit_all(each for each in node.args if not isinstance(each, ast.Constant | ast.JoinedStr))
        else:
            if isinstance(node.func, ast.Name) and node.func.id in OPPOSITES:
                self._note("connective", node.func, OPPOSITES[node.func.id])
            self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        match node.value:
            case bool() as value:
                self._note("constant", node, str(not value))
            case int() | float() as value:
                self._note("constant", node, repr(value + 1))
            case str() as value:
                self._note("constant", node, '""' if value else '"mutated"')
            case bytes() as value:
                self._note("constant", node, 'b""' if value else 'b"mutated"')

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """As a whole: Python 3.11 does not know where its parts stand."""
        self._note("constant", node, '""')

    # -- the text ----------------------------------------------------------------------------------------------------

    def _span(self, node: ast.expr | ast.stmt | ast.pattern) -> tuple[int, int]:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self._starts[node.lineno - 1] + node.col_offset, self._starts[node.end_lineno - 1] + node.end_col_offset

    def _inner(self, node: ast.expr) -> str:
        """The node's text as a part of another expression."""
        start, end = self._span(node)
        text = self.text[start:end].decode()
        return f"({text})" if isinstance(node, LOOSE) else text

    def _note_between(self, kind: str, left: ast.expr, right: ast.expr, token: str, other: str) -> None:
        """Change the operator between two operands; not where a comment stands there, which may hold the same text."""
        start, end = self._span(left)[1], self._span(right)[0]
        gap = self.text[start:end].decode()
        pattern = r"\s+".join(map(re.escape, token.split()))
        if "#" not in gap and (match := re.search(pattern, gap)):
            self._note_span(kind, start + match.start(), start + match.end(), other)

    def _note(self, kind: str, node: ast.expr | ast.stmt, text: str) -> None:
        self._note_span(kind, *self._span(node), text)

    def _note_span(self, kind: str, start: int, end: int, text: str) -> None:
        function = ".".join(self._path)
        self.edits.append(
            SourceEdit(function=function, kind=kind, start=start, end=end, text=text, statement=self._statement)
        )
