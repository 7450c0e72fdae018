"""Whether the registers of a finished instance agree with each other, for straight sagas with a pivot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sagamesh.language.model import Saga
from sagamesh.log import registers
from sagamesh.log.registers import (
    ABORT,
    FINISH,
    OUTCOME,
    START,
    Aborted,
    Committed,
    Compensated,
    Completed,
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


def state(written: Written) -> str:
    """`completed`, `compensated`, or `running`."""
    finish = written.get(FINISH)
    return str(finish.value.__struct_config__.tag) if finish else "running"


def wrongs(saga: Saga, written: Written, *, cancelled: bool = False) -> list[str]:
    """Everything that is wrong. `cancelled`: by somebody, so that no step need have failed."""
    return list(_wrongs(saga, written, cancelled))


def _wrongs(saga: Saga, written: Written, cancelled: bool) -> Iterator[str]:
    origins = {(register.origin.run, register.origin.revision) for register in written.values()}
    if len(origins) != 1 or START not in written:
        yield f"these registers are not those of one run: {origins}"
    match written[OUTCOME].value if OUTCOME in written else None:
        case Committed():
            yield from _committed(saga, written)
        case Aborted():
            yield from _aborted(saga, written, cancelled)
        case _:
            yield "no outcome"


def _committed(saga: Saga, written: Written) -> Iterator[str]:
    if not isinstance(_value(written, FINISH), Completed) or ABORT in written:
        yield f"committed, but finish is {_value(written, FINISH)}, and the notice {_value(written, ABORT)}"
    for step in saga.steps:
        if not isinstance(_value(written, registers.begin(step.name)), Started):
            yield f"committed, but {step.name} did not begin"
        if not isinstance(_value(written, registers.end(step.name)), Done):
            yield f"committed, but {step.name} is not done"
        if registers.compensation(step.name) in written:
            yield f"committed, but {step.name} was undone"


def _aborted(saga: Saga, written: Written, cancelled: bool) -> Iterator[str]:
    if not isinstance(_value(written, FINISH), Compensated) or ABORT not in written:
        yield f"aborted, but finish is {_value(written, FINISH)}, and the notice {_value(written, ABORT)}"
    if not cancelled and not any(isinstance(register.value, Failed) for register in written.values()):
        yield "aborted, but nothing failed"
    after_pivot = False
    later: Register | None = None
    for step in saga.steps:
        ended, back = _value(written, registers.end(step.name)), written.get(registers.compensation(step.name))
        if (step.pivot or after_pivot) and isinstance(ended, Done):
            yield f"aborted after {step.name}, which cannot be undone"
        after_pivot = after_pivot or step.pivot
        called = step.compensation is not None and isinstance(ended, Done | Failed)
        if back is None or not isinstance(back.value, Undone if called else Nothing):
            yield f"aborted, but the compensation of {step.name} is {back and back.value}"
        elif later is not None and back.sequence > later.sequence:
            yield f"{step.name} was undone after {later.name.step}, out of order"
        later = back


def _value(written: Written, name: Name) -> object:
    return written[name].value if name in written else None
