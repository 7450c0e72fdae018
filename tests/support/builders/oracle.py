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

Found = Mapping[Name, Register]


def state(found: Found) -> str:
    """`completed`, `compensated`, or `running`."""
    finish = found.get(FINISH)
    return str(finish.value.__struct_config__.tag) if finish else "running"


def wrongs(saga: Saga, found: Found, *, cancelled: bool = False) -> list[str]:
    """Everything that is wrong. `cancelled`: by somebody, so that no step need have failed."""
    return list(_wrongs(saga, found, cancelled))


def _wrongs(saga: Saga, found: Found, cancelled: bool) -> Iterator[str]:
    origins = {(register.origin.run, register.origin.revision) for register in found.values()}
    if len(origins) != 1 or START not in found:
        yield f"these registers are not those of one run: {origins}"
    match found[OUTCOME].value if OUTCOME in found else None:
        case Committed():
            yield from _committed(saga, found)
        case Aborted():
            yield from _aborted(saga, found, cancelled)
        case _:
            yield "no outcome"


def _committed(saga: Saga, found: Found) -> Iterator[str]:
    if not isinstance(_value(found, FINISH), Completed) or ABORT in found:
        yield f"committed, but finish is {_value(found, FINISH)}, and the notice {_value(found, ABORT)}"
    for step in saga.steps:
        if not isinstance(_value(found, registers.begin(step.name)), Started):
            yield f"committed, but {step.name} did not begin"
        if not isinstance(_value(found, registers.end(step.name)), Done):
            yield f"committed, but {step.name} is not done"
        if registers.compensation(step.name) in found:
            yield f"committed, but {step.name} was undone"


def _aborted(saga: Saga, found: Found, cancelled: bool) -> Iterator[str]:
    if not isinstance(_value(found, FINISH), Compensated) or ABORT not in found:
        yield f"aborted, but finish is {_value(found, FINISH)}, and the notice {_value(found, ABORT)}"
    if not cancelled and not any(isinstance(register.value, Failed) for register in found.values()):
        yield "aborted, but nothing failed"
    after_pivot = False
    later: Register | None = None
    for step in saga.steps:
        ended, back = _value(found, registers.end(step.name)), found.get(registers.compensation(step.name))
        if (step.pivot or after_pivot) and isinstance(ended, Done):
            yield f"aborted after {step.name}, which cannot be undone"
        after_pivot = after_pivot or step.pivot
        called = step.compensation is not None and isinstance(ended, Done | Failed)
        if back is None or not isinstance(back.value, Undone if called else Nothing):
            yield f"aborted, but the compensation of {step.name} is {back and back.value}"
        elif later is not None and back.sequence > later.sequence:
            yield f"{step.name} was undone after {later.name.step}, out of order"
        later = back


def _value(found: Found, name: Name) -> object:
    return found[name].value if name in found else None
