"""One run of a generator of core's: for which instance and step, under which origin and trace.

`executor` carries out what it asks for.
"""

from __future__ import annotations

from sagamesh.log import line_fields
from sagamesh.log.line_fields import Fields
from sagamesh.log.registers import Instance, Origin
from sagamesh_sidecar.deliveries.tally import CallCount


class Work:
    """What is at hand.

    `delivered`: how often its delivery was handed out so far. `count`: of the calls for the step.
    `spent`: seconds that the app took with it.
    """

    __slots__ = ("count", "delivered", "instance", "origin", "spent", "step", "trace")

    def __init__(
        self,
        instance: Instance,
        origin: Origin,
        step: str = "",
        trace: str = "",
        *,
        delivered: int = 1,
        count: CallCount | None = None,
    ) -> None:
        self.instance = instance
        self.origin = origin
        self.step = step
        self.trace = trace
        self.delivered = delivered
        self.count = count or CallCount(instance, step, "action")
        self.spent = 0.0

    @property
    def fields(self) -> Fields:
        """What a line about it says."""
        return line_fields.fields(self.instance, self.origin.run, self.trace, self.step)
