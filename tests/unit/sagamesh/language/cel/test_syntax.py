"""The tree of an expression, as it is read from the library's own form of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sagamesh.language.cel.expressions import Place, compile_expression
from sagamesh.language.cel.syntax import AstNode
from sagamesh.language.cel.wire import ExprKind


def tree(source: str) -> list[str]:
    return list(drawn(compile_expression(source, Place.WHEN).tree))


def drawn(node: AstNode, margin: str = "") -> Iterator[str]:
    """A line for each part: what it is, and how far it is in."""
    value = node.text if node.text is not None else node.number
    what = [node.name, "tested" if node.tested else "", node.constant, "" if value is None else repr(value)]
    yield f"{margin}{node.kind.name.lower()} {' '.join(part for part in what if part)}".rstrip()
    for child in node.children:
        yield from drawn(child, f"{margin}  ")


TREES = {
    "has(event.data.a) && event.data[-1] == null": """\
call _&&_
  field a tested
    variable event.data
  call _==_
    call _[_]
      variable event.data
      constant int -1
    constant null_type""",
    'event.data["b c"][9223372036854775807] in [true, 1u, 1.5, b"x", "y"]': """\
call @in
  call _[_]
    call _[_]
      variable event.data
      constant string 'b c'
    constant int 9223372036854775807
  list
    constant bool
    constant uint
    constant double
    constant bytes
    constant string 'y'""",
    "event.data.l.exists_one(x, x) == dyn({'a': saga.id}).b": """\
call _==_
  loop x
    field l
      variable event.data
    constant int 0
    constant bool
    call _?_:_
      variable x
      call _+_
        variable @result
        constant int 1
      variable @result
    call _==_
      variable @result
      constant int 1
  field b
    call dyn
      map
        constant string 'a'
        variable saga.id""",
}


@pytest.mark.parametrize("source", TREES)
def test_a_tree_has_every_part_of_its_expression(source: str) -> None:
    assert "\n".join(tree(source)) == TREES[source]


@pytest.mark.parametrize(
    ("source", "position"), [("\nevent.data.a", "2:11"), ("true &&\n event.data.a", "1:6"), ("event.data.a", "1:11")]
)
def test_a_part_stands_where_its_author_wrote_it(source: str, position: str) -> None:
    assert compile_expression(source, Place.WHEN).tree.position == position


def test_only_a_call_calls() -> None:
    field = AstNode(ExprKind.FIELD, "size", False, "", None, None, "1:1", frozenset(), ())
    assert not field.calls("size")
    call = AstNode(ExprKind.CALL, "size", False, "", None, None, "1:1", frozenset(), ())
    assert call.calls("type", "size")
    assert not call.calls("type")
