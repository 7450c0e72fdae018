"""What an expression looks at: of each variable the fields that it names, and how much of them it needs.

What nobody looks at need not be converted, and cannot fail. `intake` converts by it. A selection is a tree like the
data that it is laid upon; a part that is only asked for, as in `has(event.data.coupon)`, has an empty one.
"""

from __future__ import annotations

from collections.abc import Mapping

from sagamesh.language.cel.syntax import AstNode
from sagamesh.language.cel.wire import ExprKind


class Selection:
    """A part of the data, and what is done with it.

    `whole`: something looks into all of it. `carried`: it goes into the result, unseen. `compared`: with null. `shown`:
    its type is asked for. `counted`: its size is. `member`: it is asked whether a list has a value. `fields`: what is
    asked of it by name, or by place in a list. `each`: what a loop asks of its items.
    """

    __slots__ = ("carried", "compared", "counted", "each", "fields", "member", "shown", "whole")

    def __init__(self) -> None:
        self.whole = False
        self.carried = False
        self.compared = False
        self.shown = False
        self.counted = False
        self.member = False
        self.fields: dict[str | int, Selection] = {}
        self.each: Selection | None = None

    @property
    def required(self) -> bool:
        """Whether it must be there; not so where `has` or `in` asks for it."""
        looked_at = self.whole or self.carried or self.compared or self.shown
        return looked_at or bool(self.fields) or self.each is not None

    def field(self, name: str | int) -> Selection:
        """What is asked of one field; from now on it is."""
        return self.fields.setdefault(name, Selection())

    def items(self) -> Selection:
        """What a loop asks of each item; from now on it is one that is looped over."""
        if self.each is None:
            self.each = Selection()
        return self.each


CARRIED = Selection()
"""Of what is carried with the whole that it belongs to."""
CARRIED.carried = True
ASKED = Selection()
"""Of what need only be there."""

Named = Mapping[str, Selection]
"""What is looked at, by the name of its variable, or of what a loop calls its item."""


def select(root: AstNode, variables: frozenset[str], *, carried: bool) -> dict[str, Selection]:
    """What an expression looks at in each of its variables. `carried`: its result is sent to somebody."""
    found = {name: Selection() for name in variables}
    _walk(root, found, carried=carried)
    for selection in found.values():
        _settle(selection)
    return found


def _settle(selection: Selection) -> None:
    """What is carried is carried with all its parts. A list that is looped over and asked for a place is read whole."""
    selection.whole |= selection.each is not None and any(isinstance(key, int) for key in selection.fields)
    parts = [*selection.fields.values(), *([] if selection.each is None else [selection.each])]
    for part in parts:
        part.carried |= selection.carried
        _settle(part)


def _walk(node: AstNode, named: Named, *, carried: bool = False) -> None:
    """Note what a part of the expression looks at. `carried`: what it gives stands in the result as it is."""
    if (part := _part(node, named)) is not None:
        part.carried |= carried
        part.whole |= not carried
    elif not _asks(node, named):
        match node.kind:
            case ExprKind.LOOP:
                _walk_loop(node, named, carried=carried)
            case ExprKind.MAP:
                for key, value in zip(node.children[::2], node.children[1::2], strict=True):
                    _walk(key, named)
                    _walk(value, named, carried=carried)
            case ExprKind.LIST:
                _walk_all(node.children, named, carried=carried)
            case _ if node.calls("_?_:_"):
                _walk(node.children[0], named)
                _walk_all(node.children[1:], named, carried=carried)
            case _:
                _walk_all(node.children, named, carried=carried and _collects(node))


def _walk_all(nodes: tuple[AstNode, ...], named: Named, *, carried: bool) -> None:
    for node in nodes:
        _walk(node, named, carried=carried)


def _walk_loop(node: AstNode, named: Named, *, carried: bool) -> None:
    over, *rest = node.children
    items = _items(over, named)
    if over.kind is ExprKind.LOOP or items is None:
        _walk(over, named, carried=items is not None)
    within = {name: other for name, other in named.items() if name != node.name}
    if items is not None:
        within[node.name] = items
    _walk_all(tuple(rest), within, carried=carried)


def _items(node: AstNode, named: Named) -> Selection | None:
    """The items of a part of a variable, also of those that a `filter` leaves."""
    if (part := _part(node, named)) is not None:
        return part.items()
    if node.kind is ExprKind.LOOP and node.children[3].calls("_?_:_"):
        collected = node.children[3].children[1].children[-1]  # as in `kept ? @result + [item] : @result`
        if [(item.kind, item.name) for item in collected.children] == [(ExprKind.VARIABLE, node.name)]:
            return _items(node.children[0], named)
    return None


def _part(node: AstNode, named: Named) -> Selection | None:
    """The part of a variable that a chain of fields leads to, such as `event.data.lines[0].sku`; None: it is none."""
    match node.kind:
        case ExprKind.VARIABLE:
            return named.get(node.name)
        case ExprKind.FIELD if not node.tested:
            operand = _part(node.children[0], named)
            return None if operand is None else operand.field(node.name)
        case ExprKind.CALL if node.name == "_[_]":
            container, index = node.children
            key = index.text if index.text is not None else index.number
            operand = None if key is None else _part(container, named)
            return None if operand is None or key is None else operand.field(key)
    return None


def _asks(node: AstNode, named: Named) -> bool:
    """Whether it only asks about a part: `has`, `in`, `type`, `size`, and comparing with null."""
    if node.tested:
        operand = _part(node.children[0], named)
        if operand is not None:
            operand.field(node.name)
        return operand is not None
    if node.calls("@in") and node.children[0].text is not None:
        operand = _part(node.children[1], named)
        if operand is not None:
            operand.field(node.children[0].text)
            operand.member = True
        return operand is not None
    if node.calls("type", "size"):
        return _measures(node, named)
    if node.calls("_==_", "_!=_"):
        left, right = node.children
        compared = right if left.constant == "null_type" else left if right.constant == "null_type" else None
        if compared is not None and (part := _part(compared, named)) is not None:
            part.compared = True
            return True
    return False


def _measures(node: AstNode, named: Named) -> bool:
    """A type, or a size. What a list is made of adds nothing to its size."""
    (measured,) = node.children
    part = _part(measured, named)
    if part is None:
        if node.name == "size" and measured.kind in (ExprKind.LOOP, ExprKind.LIST):
            _walk(measured, named, carried=True)
            return True
        return False
    if node.name == "size":
        part.counted = True
        part.items()
    else:
        part.shown = True
    return True


def _collects(node: AstNode) -> bool:
    """Whether it is the addition by which `map` and `filter` collect their items."""
    return node.calls("_+_") and node.children[0].name == "@result"
