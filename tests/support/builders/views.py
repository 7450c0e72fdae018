"""Instances as people see them: a few registers of a saga of two or three steps, one a second, and what is shown."""

from __future__ import annotations

from sagamesh.log import registers
from sagamesh.log.registers import (
    ABORT,
    OUTCOME,
    START,
    Aborted,
    Cause,
    Instance,
    Name,
    Notice,
    Origin,
    Register,
    Start,
    Started,
    Value,
)
from sagamesh.protocol.view.instance import View, view
from sagamesh.rules.local import Input, LocalRules, OpenStep

PLACE = Instance("shop", "checkout", "o-1")
BEGUN = 1_769_860_800.0
PARK_AFTER = 600.0
ORIGIN = Origin("run-1", 1, BEGUN, "5f0c9a1e77", "pod-1", "attempt-1")
REFUSED = Cause("refused", "no credit", "a")
STARTED = Started("saga.shop.checkout.o-1._.start")
BEGAN = (START, Start("order.placed", "e-1", "shop", "digest"))
NOTICED = [(OUTCOME, Aborted(REFUSED)), (ABORT, Notice(REFUSED))]
"""A saga without a pivot is aborted."""
ROOT = OpenStep((Input(step="_", events=("order.placed",)),))
PARTICIPANTS = {"a": "customers", "b": "payments", "c": "shipping"}

Written = tuple[Name, Value]


def rules(*, pivot: bool = False, last: tuple[str, ...] = ("a",)) -> LocalRules:
    """`a` after the start, `b` after it. With a pivot that is `b`, and `c` comes after it.

    `last`: what is undone last; of several, the finish says that all are.
    """
    steps = "abc" if pivot else "ab"
    return LocalRules(
        namespace="shop",
        saga="checkout",
        participant="orders",
        revision="5f0c9a1e77",
        start_participant="orders",
        start_event="order.placed",
        order="reverse",
        park_after=PARK_AFTER,
        outline={step: PARTICIPANTS[step] for step in steps},
        open={"a": ROOT, "c": OpenStep((Input(step="b", events=("y",)),))} if pivot else {"a": ROOT},
        undoable=("a",) if pivot else ("a", "b"),
        last=last,
        sinks=(steps[-1],),
        pivot="b" if pivot else None,
        pivot_skippable=pivot,
    )


def at(*written: Written) -> list[Register]:
    """Registers, one a second, in this order."""
    return [
        Register(name, value, n, BEGUN + n - 1, ORIGIN, PARTICIPANTS.get(name.step, "orders"))
        for n, (name, value) in enumerate(written, 1)
    ]


def seen(*written: Written, pivot: bool = False, last: tuple[str, ...] = ("a",), after: float = 60.0) -> View:
    """What is shown of them, so many seconds after the first."""
    return view(PLACE, at(*written), rules(pivot=pivot, last=last), BEGUN + after)


def begin(step: str, value: Value = STARTED) -> Written:
    return registers.begin(step), value


def end(step: str, value: Value) -> Written:
    return registers.end(step), value


def back(step: str, value: Value) -> Written:
    return registers.compensation(step), value
