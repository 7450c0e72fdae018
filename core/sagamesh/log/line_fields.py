"""What every line for people about an instance says of it, as fields. The one place that spells them.

`saga`, `instance` and `run` say which one; `step`, which of its steps, if it is about one; `trace_id`, which trace its
start came with, if it came with one. By them the lines of all participants, and of their apps, are found together:
`docs/operations.md` promises them.
"""

from __future__ import annotations

from collections.abc import Mapping

from sagamesh.errors import UnreadableError
from sagamesh.log import registers
from sagamesh.log.codec import ORIGIN, trace_of
from sagamesh.log.registers import SAGA, Instance
from sagamesh.text import cut

Fields = dict[str, str]


def fields(instance: Instance, run: str, trace: str, step: str) -> Fields:
    """Of what is known as values. `trace` is a `traceparent`; what is empty is left out."""
    trace_id = trace.split("-")[1] if trace else ""
    given = {"saga": instance.saga, "instance": instance.id, "step": step, "run": run, "trace_id": trace_id}
    return {name: value for name, value in given.items() if value}


def fields_of(subject: str, headers: Mapping[str, str], step: str = "") -> Fields:
    """Of a register as it is sent and stored, which may be unreadable; `step` where it is not the register's own.

    The `subject` stands beside them, for whoever wants to look at it in the log.
    """
    try:
        instance, name = registers.parse(subject)
    except UnreadableError:
        return {"subject": subject}
    own = "" if name.step == SAGA else name.step
    run = cut(headers.get(ORIGIN, "").partition(";")[0])
    return {**fields(instance, run, trace_of(headers), step or own), "subject": subject}
