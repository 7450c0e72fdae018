"""What can be changed in a source at a single point, and by which key."""

from __future__ import annotations

import pytest

from sagamesh_tools.mutation.changes import MutantKey, mutants


def changed(source: str) -> list[tuple[str, str]]:
    """(kind, the lines after the change) of all of them, in order."""
    return [(mutant.key.kind, mutant.key.now) for mutant in mutants("some.module", source)]


def now(source: str, kind: str) -> list[str]:
    """The lines after each change of a kind."""
    return [after for found, after in changed(source) if found == kind]


@pytest.mark.parametrize(
    ("line", "kind", "lines"),
    [
        ("x = a < b", "comparison", ["x = a <= b", "x = a >= b"]),
        ("x = a <= b", "comparison", ["x = a < b", "x = a > b"]),
        ("x = a > b", "comparison", ["x = a >= b", "x = a <= b"]),
        ("x = a >= b", "comparison", ["x = a < b", "x = a > b"]),
        ("x = a == b", "comparison", ["x = a != b"]),
        ("x = a != b", "comparison", ["x = a == b"]),
        ("x = a is b", "comparison", ["x = a is not b"]),
        ("x = a in b", "comparison", ["x = a not in b"]),
        ("x = a is  not b", "comparison", ["x = a is b"]),
        ("x = a not in (b)", "comparison", ["x = a in (b)"]),
        ("x = a is b in c", "comparison", ["x = a is not b in c", "x = a is b not in c"]),
        ("x = 30", "constant", ["x = 31"]),
        ("x = 0.5", "constant", ["x = 1.5"]),
        ("x = True", "constant", ["x = False"]),
        ("x = 'é' + b''", "constant", ["x = \"\" + b''", "x = 'é' + b\"mutated\""]),
        ("x = f'{a} of {1}'", "constant", ['x = ""']),
        ("x = -b'a'", "constant", ['x = -b""']),
        ("f(a=1)", "constant", ["f(a=2)"]),
        ("x = ''", "constant", ['x = "mutated"']),
        ("x = a['k']", "constant", ['x = a[""]']),
        ("x = a.b['k']", "constant", ['x = a.b[""]']),
        ("x = a < 1", "constant", ["x = a < 2"]),
        ("x = [i for i in f(1)]", "constant", ["x = [i for i in f(2)]"]),
        ("x = cast('A', 1)", "constant", ["x = cast('A', 2)"]),
        ("if TYPE_CHECKING:\n    a = 1\nelse:\n    b = 1", "constant", ["b = 2"]),
        ("x: int = 1", "constant", ["x: int = 2"]),
        ("x = a + b - c", "arithmetic", ["x = a - b - c", "x = a + b + c"]),
        ("x = a * b / c", "arithmetic", ["x = a / b / c", "x = a * b * c"]),
        ("x = a // b", "arithmetic", ["x = a * b"]),
        ("x = a % b", "arithmetic", ["x = a * b"]),
        ("x = a**b", "arithmetic", ["x = a*b"]),
        ("x = not a", "negation", ["x = a"]),
        ("x = a if b < c < d else e", "branch", ["x = e if b < c < d else a"]),
        ("x = not (a or b)", "negation", ["x = (a or b)"]),
        ("x = [i for i in y if i]", "negation", ["x = [i for i in y if not i]"]),
        (
            "x = a if t else b if u else c",
            "branch",
            ["x = (b if u else c) if t else a", "x = a if t else c if u else b"],
        ),
        ("x = a if t == u else b", "branch", []),  # changed by its comparison
        (
            "x = a and (b or c)",
            "connective",
            ["x = (b or c)", "x = a", "x = a or (b or c)", "x = a and (c)", "x = a and (b)", "x = a and (b and c)"],
        ),
        ("x = any(y)", "connective", ["x = all(y)"]),
        ("x = all(y)", "connective", ["x = any(y)"]),
        ("x = max(y)", "connective", ["x = min(y)"]),
        ("x = min(y)", "connective", ["x = max(y)"]),
        ("if a:\n    b()", "negation", ["if not a:"]),
        ("some.call(y)", "statement", ["pass"]),
        ("del y", "statement", ["pass"]),
        ("raise Some", "statement", ["pass"]),
        ("x = y", "statement", []),
        ("x.y = z", "statement", ["pass"]),
        ("x.y: int = z", "statement", ["pass"]),
        ("def f():\n    x = 1\n    x = 2\n\n\nx = 3", "statement", ["pass"] * 2),
    ],
)
def test_a_line_can_be_changed(line: str, kind: str, lines: list[str]) -> None:
    assert sorted(now(line, kind)) == sorted(lines)


@pytest.mark.parametrize(("token", "other"), [("or", "and"), ("and", "or")])
def test_each_operand_can_be_left_out(token: str, other: str) -> None:
    assert set(now(f"x = a {token} b {token} c", "connective")) == {
        f"x = a {other} b {other} c",
        f"x = a {token} b",
        f"x = a {token} c",
        f"x = b {token} c",
    }


FUNCTION = """
def f(self, a, b=1):
    first = 0
    self.kept = first
    a = 1
    twice = 1
    twice = 2
    again = b
    again += 1
    if a:
        b.call()
    elif not b:
        return
    while a or b:
        if a == 1:
            continue
        break
    return None
"""


def test_statements_are_dropped_where_the_function_can_run_without_them() -> None:
    lines = [mutant.key.was for mutant in mutants("m", FUNCTION) if mutant.key.kind == "statement"]
    assert lines == [
        "self.kept = first",
        "a = 1",
        "twice = 1",
        "twice = 2",
        "again = b",
        "again += 1",
        "b.call()",
        "return",
        "continue",
        "break",
    ]


@pytest.mark.parametrize(("value", "times"), [("", 0), ("None", 0), ("0", 1), ("a", 1), ("a.b", 1)])
def test_a_last_return_is_dropped_if_it_says_something(value: str, times: int) -> None:
    assert now(f"def f():\n    return {value}", "statement") == ["pass"] * times


@pytest.mark.parametrize(
    ("body", "times"),
    [
        ("try:\n        return a\n    except E:\n        return None", 1),  # of a
        ("try:\n        return\n    except E:\n        b()\n    finally:\n        c()", 2),
        ("try:\n        return\n    except E:\n        return\n    else:\n        a()", 2),  # after the first, `else`
        ("try:\n        a()\n    except E:\n        return\n    else:\n        return", 1),
        ("if a:\n        return\n    elif b:\n        return\n    else:\n        return", 0),
        ("if a:\n        return\n    b()", 2),
        ("with a:\n        return", 0),
        ("with a:\n        return b", 1),
        ("async with a:\n        return", 0),
        ("match a:\n        case 1:\n            return\n        case _:\n            return None", 0),
        ("for a in b:\n        return", 1),
        ("while a:\n        return", 1),
    ],
)
def test_a_return_of_nothing_is_left_alone_where_the_function_ends_anyway(body: str, times: int) -> None:
    assert now(f"async def f():\n    {body}", "statement") == ["pass"] * times


def test_conditions_are_negated_once() -> None:
    assert now(FUNCTION, "branch") == ["if not a:"]
    assert now(FUNCTION, "negation") == ["elif b:", "while not (a or b):"]
    assert "if a != 1:" in now(FUNCTION, "comparison")


def test_a_case_is_never_taken_and_a_guard_negated() -> None:
    source = "match x:\n    case A(b=1):\n        y()\n    case _ if z:\n        y()\n"
    assert now(source, "branch") == ["case A(b=1) if False:", "case _ if False:"]
    assert now(source, "negation") == ["case _ if not z:"]
    assert now(source, "constant") == ["case A(b=2):"]


@pytest.mark.parametrize(
    "source",
    [
        '"""A module."""',
        'class A:\n    """A class."""\n    a: Literal["x"]\n    """A field."""',
        'def f(a: Literal[1] = b) -> "Some": ...',
        *(
            f'Kind = {generic}["A", "B"]'
            for generic in ["Annotated", "Callable", "Literal", "dict", "frozenset", "list", "set", "tuple", "type"]
        ),
        'Kind: TypeAlias = "A | B"',
        'T = TypeVar("T")',
        'T = NewType("T", int)',
        'T = ParamSpec("T")',
        '__all__ = ["a"]',
        "assert not a, 'never'",
        "if TYPE_CHECKING:\n    a = 1",
        "if __name__ == '__main__':\n    a = 1",
        'logger = logging.getLogger("a")',
        "@dataclass(frozen=True)\nclass A(Struct, kw_only=True, slots=True, gc=False): ...",
        "def f():\n    return",
    ],
)
def test_what_is_no_behaviour_is_left_alone(source: str) -> None:
    assert changed(source) == []


@pytest.mark.parametrize("logger", ["logger", "logging", "self.logger"])
def test_of_a_logging_call_only_the_text_is_left_alone(logger: str) -> None:
    assert changed(f'{logger}.log(INFO if a else ERROR, "%s", f"{{b}}")') == [
        ("statement", "pass"),
        ("branch", f'{logger}.log(ERROR if a else INFO, "%s", f"{{b}}")'),
    ]
    assert ("constant", 'f().info("")') in changed('f().info("a")')


def test_what_would_not_parse_is_left_out() -> None:
    assert now("match x:\n    case (A() | B()):\n        y()\n", "branch") == []


def test_a_change_is_the_whole_source_with_one_edit() -> None:
    source = 'É = "é"\nx = (a <\n     b)  # why\ny = 1\n'
    [less, _] = [each for each in mutants("m", source) if each.key.kind == "comparison"]
    assert less.source == 'É = "é"\nx = (a <=\n     b)  # why\ny = 1\n'
    assert (less.line, list(less.statement)) == (2, [2, 3])


def test_no_operator_is_looked_for_where_a_comment_stands() -> None:
    assert now("x = (a  # <\n     < b)", "comparison") == []
    assert now("x = a < f(\n    b  # why\n)", "comparison") == ["x = a <= f(", "x = a >= f("]


def test_a_key_lasts_while_lines_move_and_comments_change() -> None:
    [before] = mutants("m", "class A:\n    def f(self):\n        self.g(x)  # why\n")
    [after] = mutants("m", "import g\n\n\nclass A:\n    async def f(self):\n        self.g(x)\n")
    assert before.key == after.key
    assert before.key == MutantKey(module="m", function="A.f", kind="statement", was="self.g(x)", now="pass")


def test_what_looks_like_a_comment_in_a_string_is_part_of_the_key() -> None:
    assert {mutant.key.was for mutant in mutants("m", 'f(1, " # b")')} == {'f(1, " # b")'}


def test_equal_changes_of_one_function_are_counted() -> None:
    source = "def f():\n    a()\n    b()\n    a()\n\n\ndef g():\n    a()\n"
    dropped = [(each.key.function, each.key.was, each.key.nth) for each in mutants("m", source)]
    assert dropped == [("f", "a()", 1), ("f", "b()", 1), ("f", "a()", 2), ("g", "a()", 1)]


def test_functions_are_named_by_the_way_to_them() -> None:
    source = "class A:\n    b = 1\n\n    def f(self, c=2):\n        d(3)\n\n\ne = 4\n"
    assert {each.key.was: each.key.function for each in mutants("m", source) if each.key.kind == "constant"} == {
        "b = 1": "A",
        "def f(self, c=2):": "A.f",
        "d(3)": "A.f",
        "e = 4": "",
    }


STATEMENTS = """@d(
    1
)
def f():
    if a(
        2
    ):
        b(3)
    match c(4):
        case 5 if g(
            6
        ):
            d(7)
    if 8: b(9)
"""


def test_a_statement_is_met_by_its_own_lines_alone() -> None:
    every = mutants("m", "\n" + STATEMENTS)
    lines = {each.key.was: (each.line, each.statement[0], each.statement[-1]) for each in every}
    assert lines["1"] == (3, 2, 5)
    assert lines["2"] == (7, 6, 8)
    assert lines["b(3)"] == (9, 9, 9)
    assert lines["match c(4):"] == (10, 10, 10)
    assert lines["6"] == (12, 11, 13)
    assert lines["d(7)"] == (14, 14, 14)
    assert lines["if 8: b(9)"] == (15, 15, 15)
