"""A saga's registers as lines for people: what happened, to which instance, at which step."""

from __future__ import annotations

import logging
from datetime import datetime

from sagamesh.log.registers import (
    SAGA,
    Aborted,
    Committed,
    Compensated,
    Completed,
    Dead,
    Done,
    Failed,
    Instance,
    Register,
    Satisfied,
    Start,
    Undone,
)
from sagamesh_cli.output import in_line, paint
from sagamesh_sidecar import json_logging

GREEN, RED, YELLOW, BLUE = "green", "red", "yellow", "blue"


def line(instance: Instance, register: Register) -> str | None:
    """One line, or None for what only the protocol needs (begins, notices, and steps that had nothing to undo)."""
    told = _tell(register)
    if told is None:
        return None
    word, colour, rest = told
    time = datetime.fromtimestamp(register.time).astimezone().strftime("%H:%M:%S.%f")[:-3]
    step = "" if register.name.step == SAGA else register.name.step
    return (
        f"{paint(time, dim=True)}  {in_line(instance.id):16}  {step:18}  {paint(f'{word:11}', colour)}  {in_line(rest)}"
    )


class NewsFormatter(logging.Formatter):
    """What a sidecar has to say beside its registers: whose news, what, and about what."""

    def format(self, record: logging.LogRecord) -> str:
        about = ", ".join(str(vars(record)[key]) for key in ("instance", "step", "reason") if key in vars(record))
        time = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S.%f")[:-3]
        whose = json_logging.PARTICIPANT.get() or "sagamesh"
        told = f"{time}  {whose}: {record.getMessage()}" + (f" ({about})" if about else "")
        return in_line(told) + (f"\n{self.formatException(record.exc_info)}" if record.exc_info else "")


def _tell(register: Register) -> tuple[str, str, str] | None:
    match register.value:
        case Start(event=event):
            return "started", BLUE, f"{event}  ({register.origin.revision})"
        case Done(event=event):
            return "done", GREEN, event
        case Satisfied() | Dead():
            return "skipped", BLUE, ""
        case Failed(reason=reason):
            return "failed", RED, reason
        case Committed():
            return "committed", GREEN, ""
        case Aborted(cause=cause):
            return "aborted", RED, f"{cause.step or cause.kind}: {cause.reason}"
        case Undone():
            return "undone", YELLOW, ""
        case Completed():
            return "completed", GREEN, ""
        case Compensated():
            return "compensated", YELLOW, ""
        case _:
            return None
