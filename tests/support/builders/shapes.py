"""The sagas that the simulation knows by name, and sagas drawn at random that the checks accept."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random

from msgspec.structs import replace

from sagamesh.language.model import Action, Compensation, Emit, Join, Order, Saga, StartSpec, Step


def step(
    name: str,
    after: Iterable[str] | str = "start",
    *,
    emits: Iterable[str] | str = "",
    join: Join = "all",
    when: bool = False,
    body: bool = False,
    undo: bool = False,
    kind: str = "",
    at: str = "",
) -> Step:
    """A step that announces `<name>.ok` unless `emits` says otherwise. `kind`: pivot, retriable, readOnly or none.

    `when`, `body`, `undo`: whether it has such an expression, the last of its compensation.
    """
    events = [emits or f"{name}.ok"] if isinstance(emits, str) else list(emits)
    return Step(
        name=name,
        participant=at or f"p-{name}",
        after=(after,) if isinstance(after, str) else tuple(after),
        join=join,
        when=f"when {name}" if when else None,
        action=Action(path=f"/{name}", body=f"body {name}" if body else None),
        emits=tuple(Emit(event=e, when=None if e == events[-1] else f"emit {e}") for e in events),
        compensation=None if kind else Compensation(path=f"/{name}/undo", body=f"undo {name}" if undo else None),
        pivot=kind == "pivot",
        read_only=kind == "readOnly",
    )


def saga(*steps: Step, order: Order = "reverse") -> Saga:
    start = StartSpec(participant="app", event="start")
    return Saga(namespace="default", name="simulated", start=start, steps=steps, compensation_order=order)


def straight(length: int, pivot: int | None = None) -> Saga:
    """A chain. What comes after the pivot is retriable."""
    steps = []
    for n in range(length):
        kind = "" if pivot is None or n < pivot else "pivot" if n == pivot else "retriable"
        steps.append(step(f"s{n}", f"s{n - 1}.ok" if n else "start", kind=kind))
    return saga(*steps)


def diamond(*, kind: str = "", order: Order = "reverse") -> Saga:
    join = step("d", ["b.ok", "c.ok"], kind=kind)
    return saga(step("a"), step("b", "a.ok"), step("c", "a.ok"), join, order=order)


def choice(*rest: Step) -> Saga:
    return saga(step("a", emits=["a.big", "a.small"]), *rest)


def joined(width: int) -> Saga:
    return saga(*(step(f"s{n}") for n in range(width)), step("join", [f"s{n}.ok" for n in range(width)]))


SHAPES: dict[str, Saga] = {
    "straight 1": straight(1),
    "straight 2": straight(2),
    "straight 3": straight(3),
    "straight 5": straight(5),
    "two roots": saga(step("a"), step("b")),
    "fan-out": saga(step("a"), step("b", "a.ok"), step("c", "a.ok"), step("d", "a.ok")),
    "diamond": diamond(),
    "nested diamond with an independent root": saga(
        step("a"),
        step("b", "a.ok"),
        step("c", "a.ok"),
        step("e", "b.ok"),
        step("f", "b.ok"),
        step("g", ["e.ok", "f.ok"]),
        step("h", ["g.ok", "c.ok"]),
        step("z"),
    ),
    "choice with a dead path": choice(step("b", "a.big"), step("c", "b.ok"), step("d", "a.small")),
    "choice and merge": choice(step("b", "a.big"), step("c", "a.small"), step("d", ["b.ok", "c.ok"], join="any")),
    "choice and merge of unequal branches": choice(
        step("b", "a.big"),
        step("c", "a.small"),
        step("e", "c.ok"),
        step("d", ["b.ok", "e.ok"], join="any"),
        step("f", "d.ok"),
    ),
    "choice and merge beside a root that only one branch waits for": choice(
        step("x"),
        step("b", "a.big"),
        step("c", ["a.small", "x.ok"]),
        step("d", ["b.ok", "c.ok"], join="any"),
    ),
    "merge of two events of one step": choice(step("b", ["a.big", "a.small"], join="any"), step("c", "b.ok")),
    "join with the start": saga(step("a"), step("b", ["start", "a.ok"])),
    "when in mid-chain": saga(step("a"), step("b", "a.ok", when=True), step("c", "b.ok")),
    "when at the root": saga(step("a", when=True), step("b", "a.ok")),
    "when before a join": saga(step("a"), step("b", when=True), step("c", ["a.ok", "b.ok"])),
    "readOnly": saga(step("a"), step("b", "a.ok", kind="readOnly"), step("c", "b.ok")),
    "readOnly in every place": saga(
        step("r", kind="readOnly"),
        step("a", "r.ok"),
        step("s", "a.ok", kind="readOnly"),
        step("b", "s.ok"),
        step("t", "b.ok", kind="readOnly"),
    ),
    "nothing undoable": saga(step("a", kind="readOnly"), step("b", "a.ok", kind="readOnly")),
    "nothing undoable before the pivot": saga(
        step("a", kind="readOnly"), step("p", "a.ok", kind="pivot"), step("b", "p.ok", kind="retriable")
    ),
    "pivot first": straight(3, pivot=0),
    "pivot in the middle": straight(3, pivot=1),
    "pivot last": straight(3, pivot=2),
    "pivot alone": straight(1, pivot=0),
    "pivot behind a diamond": diamond(kind="pivot"),
    "pivot with two retriable sinks": saga(
        step("a"),
        step("p", "a.ok", kind="pivot"),
        step("b", "p.ok", kind="retriable"),
        step("c", "p.ok", kind="retriable"),
    ),
    "pivot on one branch": choice(
        step("p", "a.big", kind="pivot"), step("b", "p.ok", kind="retriable"), step("c", "a.small")
    ),
    "pivot skipped": saga(
        step("a", emits=["a.big", "a.small"]),
        step("p", "a.big", kind="pivot"),
        step("q", "a.small"),
        step("r", "q.ok"),
    ),
    "pivot skipped, and the only sink": choice(step("p", "a.big", kind="pivot")),
    "pivot skipped, with one sink after it": choice(
        step("p", "a.big", kind="pivot"), step("b", "p.ok", kind="retriable")
    ),
    "pivot behind two roots": saga(
        step("a"), step("b"), step("p", ["a.ok", "b.ok"], kind="pivot"), step("c", "p.ok", kind="retriable")
    ),
    "pivot that chooses": saga(
        step("a"),
        step("p", "a.ok", kind="pivot", emits=["p.big", "p.small"]),
        step("b", "p.big", kind="retriable"),
        step("c", "p.small", kind="retriable"),
        step("d", ["b.ok", "c.ok"], join="any", kind="retriable"),
    ),
    "when after the pivot": saga(
        step("p", kind="pivot"), step("b", "p.ok", kind="retriable", when=True), step("c", "b.ok", kind="retriable")
    ),
    "two steps of one participant": saga(
        step("a", at="one"), step("b", at="one"), step("c", ["a.ok", "b.ok"], at="two"), step("d", "c.ok", at="one")
    ),
    "everything at one participant": saga(
        step("a", at="one"), step("b", "a.ok", at="one"), step("c", "a.ok", at="one"), step("d", "b.ok", at="one")
    ),
    "expressions everywhere": saga(
        step("a", body=True, undo=True, emits=["a.big", "a.small"]),
        step("b", "a.big", when=True, body=True, undo=True),
        step("c", "a.small", body=True, undo=True, emits=["c.big", "c.ok"]),
    ),
    "pivot with expressions": saga(
        step("a", undo=True),
        step("p", "a.ok", kind="pivot", body=True, emits=["p.big", "p.small"]),
        step("b", "p.big", kind="retriable", when=True, body=True),
        step("c", "p.small", kind="retriable"),
    ),
    "parallel order": diamond(order="parallel"),
    "parallel order with two roots": saga(step("a"), step("b"), step("c", "a.ok"), order="parallel"),
}
BIG: dict[str, Saga] = {
    "chain of 50": straight(50),
    "join of 20": joined(20),
    "fan of 20": saga(*(step(f"s{n}", at=f"p{n % 3}") for n in range(20))),
}


def without_expressions(saga: Saga) -> Saga:
    """The same saga with CEL that compiles, for the checks: in schedules expressions are only names."""
    steps = [
        replace(
            step,
            when="true" if step.when else None,
            action=replace(step.action, body="{}" if step.action.body else None),
            compensation=step.compensation
            and replace(step.compensation, body="{}" if step.compensation.body else None),
            emits=tuple(replace(emit, when="true" if emit.when else None) for emit in step.emits),
        )
        for step in saga.steps
    ]
    return replace(saga, steps=tuple(steps))


def draw(rng: Random, accepted: Callable[[Saga], bool]) -> Saga:
    """A saga of up to eight steps that `accepted` takes."""
    while True:
        candidate = _draw(rng)
        if accepted(candidate):
            return candidate


def _draw(rng: Random) -> Saga:
    events, steps = ["start"], []
    pivot = rng.randrange(12)
    for n in range(rng.randrange(1, 9)):
        name = f"s{n}"
        on = rng.sample(events, min(len(events), rng.choice((1, 1, 1, 2, 2, 3))))
        emits = [f"{name}.x", f"{name}.y"] if rng.random() < 0.3 else [f"{name}.ok"]
        kind = "pivot" if n == pivot else rng.choice(("", "", "", "", "readOnly"))
        if n > pivot and rng.random() < 0.8:
            kind = "retriable"
            on = [e for e in on if not e.startswith("start")] or [rng.choice(events[1:] or events)]
        steps.append(
            step(
                name,
                on,
                emits=emits,
                join="any" if len(on) > 1 and rng.random() < 0.5 else "all",
                when=kind != "pivot" and rng.random() < 0.2,
                body=rng.random() < 0.2,
                undo=rng.random() < 0.2,
                kind=kind,
                at=f"p{rng.randrange(4)}",
            )
        )
        events += emits
    return saga(*steps, order=rng.choice(("reverse", "reverse", "parallel")))
