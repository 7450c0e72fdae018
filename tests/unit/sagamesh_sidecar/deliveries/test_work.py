"""What a run of a generator begins with, and what a line about it says."""

from __future__ import annotations

from sagamesh.log.registers import Instance, Origin
from sagamesh_sidecar.deliveries.work import Work

PLACE = Instance("shop", "checkout", "o-1")
ORIGIN = Origin("r-1", 1, 1.0, "revision", "pod", "attempt")


def test_of_a_step_and_a_trace_it_says_nothing_where_there_is_none() -> None:
    work = Work(PLACE, ORIGIN)
    assert work.fields == {"saga": "checkout", "instance": "o-1", "run": "r-1"}
    assert (work.delivered, work.spent) == (1, 0.0)
    assert (work.count.made, work.count.under_way) == (0, 0)


def test_fields_are_in_the_order_in_which_people_look_for_them() -> None:
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    assert list(Work(PLACE, ORIGIN, "book", trace).fields.items()) == [
        ("saga", "checkout"),
        ("instance", "o-1"),
        ("step", "book"),
        ("run", "r-1"),
        ("trace_id", "a" * 32),
    ]
