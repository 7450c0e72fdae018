"""What the parts of an expression surely are, as they are written."""

from __future__ import annotations

from collections.abc import Iterable

from sagamesh.language.cel.guards.facts import THERE, TYPES, Fact, Facts, Key, Path
from sagamesh.language.cel.syntax import AstNode
from sagamesh.language.cel.wire import ExprKind

COMPARISONS = frozenset({"_<_", "_<=_", "_>_", "_>=_"})
_SIZED = frozenset({"map", "list", "string"})
_NUMBERS = frozenset({"double", "int", "uint"})
_TEXT = frozenset({"startsWith", "endsWith", "contains", "matches"})
_MOST_PLACES = 50  # of a list that are told apart; whoever names a later one asks in vain


def named_event(node: AstNode) -> str | None:
    """The event of `events["..."]`."""
    if not node.calls("_[_]") or node.children[0].kind is not ExprKind.VARIABLE or node.children[0].name != "events":
        return None
    return node.children[1].text


def key(node: AstNode) -> str | int | Key | None:
    """A field, or a place, as it is told from others; None: it is computed."""
    if node.text is not None:
        return node.text
    return Key(node.name) if node.kind is ExprKind.VARIABLE else node.number


def places(path: Path, size: int) -> Facts:
    return frozenset(Fact((*path, place), THERE) for place in range(min(size, _MOST_PLACES)))


def type_named(node: AstNode) -> str | None:
    """The type that is meant by `map`, or by `type({})`."""
    if node.kind is ExprKind.VARIABLE and node.name in TYPES:
        return node.name
    if not node.calls("type"):
        return None
    (of,) = node.children
    return {ExprKind.MAP: "map", ExprKind.LIST: "list"}.get(of.kind, of.constant or None)


def is_list(node: AstNode) -> bool:
    """Whether it surely is one, as it is written."""
    if node.kind is ExprKind.LOOP:  # what it begins with, it ends with
        return node.children[1].kind is ExprKind.LIST
    return node.kind is ExprKind.LIST or node.overloads == {"add_list"}


def lacks(holder: AstNode, key: str | int, *, tested: bool = False) -> bool:
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
        return any(lacks(branch, key, tested=tested) for branch in holder.children[1:])
    return holder.calls("dyn") and lacks(holder.children[0], key, tested=tested)


def borne(function: str, others: list[str]) -> Iterable[str]:
    """The types of an operand that a function bears, whatever its value, beside literals of those types."""
    if function == "size":
        return _SIZED
    if function in _TEXT and others == ["string"]:
        return ("string",)
    if function in COMPARISONS and others == ["string"]:
        return ("string",)
    if function in COMPARISONS and others[0] in _NUMBERS:
        return ("double",)
    return ()
