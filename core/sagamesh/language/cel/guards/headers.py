"""Headers that are asked for by a name that none has: names arrive in lower case, whatever an app has written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from sagamesh.language.cel.guards.facts import HEADERS
from sagamesh.language.cel.syntax import AstNode
from sagamesh.language.cel.wire import ExprKind


class OddHeader(NamedTuple):
    """A name with a capital. `position`: line:column."""

    name: str
    position: str


def odd_headers(root: AstNode) -> Iterator[OddHeader]:
    """Each of them, where it is named first."""
    found: dict[str, OddHeader] = {}
    for node in _parts(root):
        name = _named(node)
        if name is not None and name != name.lower():
            found.setdefault(name, OddHeader(name, node.position))
    yield from found.values()


def _named(node: AstNode) -> str | None:
    """The header that a part reads, or asks for."""
    name: str | None
    if node.kind is ExprKind.FIELD:
        holder, name = node.children[0], node.name
    elif node.calls("_[_]", "@in"):
        holder, key = node.children if node.name == "_[_]" else reversed(node.children)
        name = key.text
    else:
        return None
    return name if holder.kind is ExprKind.VARIABLE and holder.name == HEADERS else None


def _parts(node: AstNode) -> Iterator[AstNode]:
    yield node
    for child in node.children:
        yield from _parts(child)
