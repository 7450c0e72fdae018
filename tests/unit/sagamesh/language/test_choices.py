"""Ways as bits: which events exclude one another. Whether the answers are right is shown by the tests of `ways`."""

from __future__ import annotations

from sagamesh.language.choices import VISIT, Choices


def choices(*steps: str) -> Choices:
    """Of steps, each given by its events."""
    return Choices([step.split() for step in steps], lambda _: None)


def test_events_of_a_step_stand_side_by_side_and_below_a_fence_where_there_are_several() -> None:
    assert choices("a", "b c", "d", "e f g", "h").bits == {
        "a": 1 << 0,
        "b": 1 << 1,
        "c": 1 << 2,
        "d": 1 << 4,
        "e": 1 << 5,
        "f": 1 << 6,
        "g": 1 << 7,
        "h": 1 << 9,
    }


def test_a_way_weighs_more_with_every_four_thousand_bits() -> None:
    names = [f"e{n}" for n in range(8192)]
    assert [choices(*names[:many]).weight for many in (0, 1, 4095, 4096, 8191, 8192)] == [1, 1, 1, 2, 2, 3]


def test_ways_contradict_where_a_step_would_end_twice() -> None:
    of = choices("a", "b c", "d e f")
    way = of.bits
    assert not of.contradict([way["a"]], [way["a"]])
    assert of.contradict([way["b"]], [way["c"]])
    assert of.contradict([way["d"]], [way["f"] | way["b"]])
    assert not of.contradict([way["b"]], [way["b"] | way["d"]])
    assert not of.contradict([way["b"], way["c"] | way["d"]], [way["b"] | way["e"], way["c"] | way["f"]])
    assert of.contradict([], [way["a"]])
    pairs = of.agreeing([way["b"], way["c"]], [way["b"] | way["d"], way["e"], way["c"]])
    assert sorted(pairs) == sorted(
        [
            (way["b"], way["b"] | way["d"]),
            (way["b"], way["e"]),
            (way["c"], way["e"]),
            (way["c"], way["c"]),
        ]
    )


def test_the_first_step_is_as_every_other() -> None:
    spent: list[int] = []
    of = Choices([["a", "b"], ["c"]], spent.append)
    way = of.bits
    assert of.contradict([way["a"]], [way["b"]])
    spent.clear()
    assert not of.contradict([way["c"]], [way["a"], way["b"]])
    assert not of.contradict([way["b"]], [way["c"]])
    assert spent == [VISIT + 3, VISIT + 2], "where one side does not choose there is nothing to split"


def test_each_visit_costs_what_it_looks_at() -> None:
    spent: list[int] = []
    of = Choices([["a"], ["b", "c"]], spent.append)
    list(of.agreeing([of.bits["b"], of.bits["c"], of.bits["a"]], [of.bits["b"]]))
    assert sorted(spent) == [VISIT + 2, VISIT + 2, VISIT + 4]
    assert VISIT == 16, "as measured: another number is another limit"
