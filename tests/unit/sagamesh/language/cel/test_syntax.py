"""The tree of an expression, as it is read from the library's own form of it."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest

from sagamesh.language.cel.expressions import Place, compile_expression
from sagamesh.language.cel.syntax import AstNode, read
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


def test_a_call_knows_what_it_may_turn_out_to_be() -> None:
    node = compile_expression("[event.data] + [event.id] == (event.data + event.data)", Place.WHEN).tree
    lists, anything = node.children
    assert node.overloads == {"equals"}
    assert lists.overloads == {"add_list"}
    assert {"add_list", "add_string", "add_double"} < anything.overloads
    assert {each.overloads for each in (*lists.children, *anything.children)} == {frozenset()}


@pytest.mark.parametrize(
    ("source", "position"), [("\nevent.data.a", "2:11"), ("true &&\n event.data.a", "1:6"), ("event.data.a", "1:11")]
)
def test_a_part_stands_where_its_author_wrote_it(source: str, position: str) -> None:
    assert compile_expression(source, Place.WHEN).tree.position == position


def message(*fields: tuple[int, int | float | bytes]) -> bytes:
    """One of protobuf, in which every number and every part is below 128."""
    written = b""
    for number, value in fields:
        match value:
            case int():
                written += bytes([number << 3, value])
            case float():
                written += struct.pack("<Bd", number << 3 | 1, value)
            case bytes():
                written += bytes([number << 3 | 2, len(value)]) + value
    return written


def serialized(expression: bytes, *positions: bytes) -> bytes:
    return message((2, message((4, expression), (5, message(*((4, position) for position in positions))))))


@pytest.mark.parametrize("positions", [[message((1, 9))], [message((1, 9), (2, 0))], []], ids=["left out", "0", "none"])
def test_an_expression_of_which_no_place_is_given_begins_the_source(positions: list[bytes]) -> None:
    node = read(serialized(message((2, 9), (3, message((6, b"x")))), *positions), "'x'")
    assert (node.text, node.position) == ("x", "1:1")


def test_what_nobody_asked_for_is_passed_over_whatever_its_type() -> None:
    node = read(serialized(message((14, 1.5), (15, 3), (2, 9), (13, b"x"), (3, message((6, b"x"))))), "'x'")
    assert (node.kind, node.text) == (ExprKind.CONSTANT, "x")


def test_only_a_call_calls() -> None:
    field = AstNode(ExprKind.FIELD, "size", False, "", None, None, "1:1", frozenset(), ())
    assert not field.calls("size")
    call = AstNode(ExprKind.CALL, "size", False, "", None, None, "1:1", frozenset(), ())
    assert call.calls("type", "size")
    assert not call.calls("type")
