"""The sagas that are measured: straight ahead, forked and joined, undone; example 02, and its pivot refused."""

from __future__ import annotations

from typing import NamedTuple

from sagamesh.language.model import Action, Compensation, Emit, Saga, StartSpec, Step
from sagamesh.log.registers import OUTCOME, Name, compensation, end

NAMESPACE = "bench"
FLOOR = "floor"
"""The namespace of the sagas that are only imitated: sidecars of the other one do not see them."""
START = "go"
REFUSE = "/refuse"
"""The app answers 422 to this path, 200 to all others."""


class Shape(NamedTuple):
    """A saga, and the register that is written last. `late`: who hears of a join's inputs after the others."""

    saga: Saga
    last: Name
    late: str = ""


def step(name: str, *after: str, path: str = "", at: str = "", kind: str = "") -> Step:
    """A step of the participant `at`, by default of its own name. `kind`: pivot, retriable, readOnly or none."""
    return Step(
        name=name,
        participant=at or name,
        after=after,
        action=Action(path=path or f"/{name}"),
        emits=(Emit(event=f"{name}.done"),),
        compensation=None if kind else Compensation(path=f"/{name}/undo"),
        pivot=kind == "pivot",
        read_only=kind == "readOnly",
    )


def _saga(name: str, *steps: Step) -> Saga:
    return Saga(namespace=NAMESPACE, name=name, start=StartSpec(participant="a", event=f"{name}.{START}"), steps=steps)


def _meal(name: str, card: str = "") -> Saga:
    """Example 02. `card`: the path by which its pivot is called."""
    return _saga(
        name,
        step("create", f"{name}.{START}", at="a"),
        step("verify", "create.done", at="b", kind="readOnly"),
        step("ticket", "verify.done", at="c"),
        step("card", "ticket.done", at="d", kind="pivot", path=card),
        step("confirm", "card.done", at="c", kind="retriable"),
        step("approve", "confirm.done", at="a", kind="retriable"),
    )


A, B = step("a", f"straight.{START}"), step("b", "a.done")
SHAPES = {
    "straight": Shape(_saga("straight", A, B, step("c", "b.done")), OUTCOME),
    "diamond": Shape(
        _saga(
            "diamond",
            step("a", f"diamond.{START}"),
            step("b", "a.done"),
            step("c", "a.done"),
            step("d", "b.done", "c.done"),
        ),
        OUTCOME,
        late="c",
    ),
    "undone": Shape(
        _saga("undone", step("a", f"undone.{START}"), B, step("c", "b.done", path=REFUSE)),
        compensation("a"),
    ),
    "meal": Shape(_meal("meal"), end("approve")),
    "declined": Shape(_meal("declined", REFUSE), compensation("create")),
}
PARTICIPANTS = ("a", "b", "c", "d")


def data(key: str) -> bytes:
    """A start event, in CloudEvents' structured mode but for its type: two hundred bytes of an order."""
    order = b'{"orderId":"%s","customer":"alice","items":[{"sku":"A-1","quantity":2},{"sku":"B-22","quantity":1}]}'
    return order % key.encode()


def event(saga: str, key: str) -> bytes:
    """The event that starts an instance of this id, as a CloudEvent in JSON."""
    head = b'{"specversion":"1.0","source":"/bench","id":"%s","type":"%s.%s","data":%s}'
    return head % (key.encode(), saga.encode(), START.encode(), data(key))
