"""Whether the registers of a finished instance agree with each other, for straight sagas with a pivot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sagamesh.language.model import Saga, Step
from sagamesh.log import registers
from sagamesh.log.registers import (
    ABORT,
    FINISH,
    OUTCOME,
    START,
    Cancelled,
    Done,
    Failed,
    Name,
    Nothing,
    Register,
    Started,
    Undone,
)

Written = Mapping[Name, Register]
"""All registers of an instance that were written."""


def endings(saga: Saga) -> dict[Name, str]:
    """The two registers of which one is the last, and what an instance is that has it."""
    first = next((registers.compensation(step.name) for step in saga.steps if step.compensation), ABORT)
    return {registers.end(saga.steps[-1].name): "completed", first: "compensated"}


def ending(saga: Saga, written: Written) -> Register | None:
    """The last register, if it is there: the pivot may be the last step, and not done."""
    for name, state in endings(saga).items():
        if name in written and (state == "compensated" or isinstance(written[name].value, Done)):
            return written[name]
    return None


def state(saga: Saga, written: Written) -> str:
    """`completed`, `compensated`, or `running`."""
    last = ending(saga, written)
    return endings(saga)[last.name] if last else "running"


def decided(saga: Saga, written: Written) -> Register | None:
    """The register by which it is committed or aborted."""
    assert saga.pivot is not None
    begun = written.get(registers.begin(saga.pivot.name))
    if begun is not None and isinstance(begun.value, Cancelled):
        return begun
    return written.get(registers.end(saga.pivot.name))


def wrongs(saga: Saga, written: Written, *, cancelled: bool = False) -> list[str]:
    """Everything that is wrong. `cancelled`: by somebody, so that no step need have failed."""
    return list(_wrongs(saga, written, cancelled))


def _wrongs(saga: Saga, written: Written, cancelled: bool) -> Iterator[str]:
    origins = {(register.origin.run, register.origin.revision) for register in written.values()}
    if len(origins) != 1 or START not in written:
        yield f"these registers are not those of one run: {origins}"
    yield from (f"{name} follows from the others, and was written" for name in (OUTCOME, FINISH) if name in written)
    stands = decided(saga, written)
    match stands.value if stands else None:
        case Done():
            yield from _committed(saga, written)
        case Cancelled() | Failed():
            yield from _aborted(saga, written, cancelled)
        case _:
            yield "no outcome"


def _committed(saga: Saga, written: Written) -> Iterator[str]:
    if ABORT in written:
        yield f"committed, but there is the notice {_value(written, ABORT)}"
    for step in saga.steps:
        if not isinstance(_value(written, registers.begin(step.name)), Started) and step not in _open(saga):
            yield f"committed, but {step.name} did not begin"
        if not isinstance(_value(written, registers.end(step.name)), Done):
            yield f"committed, but {step.name} is not done"
        if registers.compensation(step.name) in written:
            yield f"committed, but {step.name} was undone"


def _open(saga: Saga) -> tuple[Step, ...]:
    """The first step, and those after the pivot: they begin without a word."""
    assert saga.pivot is not None
    return saga.steps[0], *saga.steps[saga.steps.index(saga.pivot) + 1 :]


def _aborted(saga: Saga, written: Written, cancelled: bool) -> Iterator[str]:
    if ABORT not in written:
        yield "aborted, but there is no notice"
    if not cancelled and not any(isinstance(register.value, Failed) for register in written.values()):
        yield "aborted, but nothing failed"
    assert saga.pivot is not None
    after = {step.name for step in saga.steps[saga.steps.index(saga.pivot) + 1 :]}
    yield from (f"aborted, but {name.step}.{name.register} is there" for name in written if name.step in after)
    before: Register | None = None
    for step in saga.steps:
        ended, back = _value(written, registers.end(step.name)), written.get(registers.compensation(step.name))
        if step.compensation is None:
            if back is not None:
                yield f"aborted, but {step.name}, which cannot be undone, has a compensation"
            continue
        if back is None or not isinstance(back.value, Undone if isinstance(ended, Done | Failed) else Nothing):
            yield f"aborted, but the compensation of {step.name} is {back and back.value}"
        elif before is not None and back.sequence > before.sequence and not isinstance(before.value, Nothing):
            yield f"{step.name} was undone after {before.name.step}, out of order"
        before = back


def _value(written: Written, name: Name) -> object:
    return written[name].value if name in written else None
