"""A saga's registers as lines for people: what happened, to which instance, at which step."""

from __future__ import annotations

from datetime import datetime

from sagamesh.log.registers import SAGA, Dead, Done, Failed, Instance, Register, Satisfied, Start, Undone
from sagamesh_cli.output import in_line, paint
from sagamesh_cli.views.open_instances import OpenInstances, Turn

GREEN, RED, YELLOW, BLUE = "green", "red", "yellow", "blue"
TURNS = {"committed": GREEN, "aborted": RED, "completed": GREEN, "compensated": YELLOW}


class RegisterLines:
    """What a register says, and what has become of its instance by it. `learn` takes each revision's rules."""

    def __init__(self) -> None:
        self._open = OpenInstances()
        self.learn = self._open.learn

    def of(self, instance: Instance, register: Register) -> tuple[str, ...]:
        """No line for what only the protocol needs (begins, notices, and steps that had nothing to undo)."""
        step = "" if register.name.step == SAGA else register.name.step
        told = _tell(register)
        lines = (_line(instance, register, step, *told),) if told else ()
        turns = self._open.see(instance, register)
        return (*lines, *(_line(instance, register, "", turn.word, TURNS[turn.word], _why(turn)) for turn in turns))


def _line(instance: Instance, register: Register, step: str, word: str, colour: str, rest: str) -> str:
    time = datetime.fromtimestamp(register.time).astimezone().strftime("%H:%M:%S.%f")[:-3]
    return (
        f"{paint(time, dim=True)}  {in_line(instance.id):16}  {step:18}  {paint(f'{word:11}', colour)}  {in_line(rest)}"
    )


def _why(turn: Turn) -> str:
    return f"{turn.cause.step or turn.cause.kind}: {turn.cause.reason}" if turn.cause else ""


def _tell(register: Register) -> tuple[str, str, str] | None:
    match register.value:
        case Start(event=event):
            return "started", BLUE, f"{event}  ({register.origin.revision})"
        case Done(event=event):
            return "done", GREEN, event
        case Satisfied():
            return "skipped", BLUE, ""
        case Dead():
            return "dead", BLUE, ""
        case Failed(reason=reason):
            return "failed", RED, reason
        case Undone():
            return "undone", YELLOW, ""
        case _:
            return None
