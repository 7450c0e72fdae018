"""The services, as their owners promise them to be: one effect and one answer for one key, compensations fence actions.

Their ledger is what the invariants look at: not what the registers claim, but what was really done and undone.
"""

from __future__ import annotations

from typing import Literal

from sagamesh.protocol.answers import Answer, Answered, Away, Unanswered
from sagamesh.simulation.chooser import Chooser
from sagamesh.simulation.faults import Faults
from sagamesh.simulation.outline import Outline

Fate = Literal["done", "refused"]
OVER = 1e9
"""A time at which every step's `within` is over: thirty years after a start at 0."""


class Apps:
    """All services of one schedule. `fate`: how each step's action will end, drawn beforehand.

    `chosen`: which event its answer names, if any. `event`: which one is then to be announced.
    """

    def __init__(self, outline: Outline, chooser: Chooser, faults: Faults, fate: dict[str, Fate]) -> None:
        self.outline = outline
        self.chooser = chooser
        self.faults = faults
        self.fate = fate
        self.chosen = {name: chooser.choice((*step.emits, None)) for name, step in outline.steps.items()}
        self.event = {name: emit.event if emit else outline.announced(name) for name, emit in self.chosen.items()}
        self.away: set[str] = set()
        self.done: set[str] = set()
        self.refused: set[str] = set()
        self.undone: set[str] = set()
        self.wrongs: list[str] = []

    @property
    def standing(self) -> set[str]:
        """The steps whose effect stands; what only read has none."""
        return {step for step in self.done - self.undone if not self.outline.steps[step].read_only}

    def act(self, step: str) -> Answer:
        """Take a call of an action."""
        faults, chooser = self.faults, self.chooser
        if self.outline.steps[step].participant in self.away:
            return Away()
        if chooser.random() < faults.not_yet:
            return Answered(422 if step in self.outline.retriable else 409, {}, b"")
        if chooser.random() < faults.unanswered:
            if chooser.random() < 0.5:
                self._do(step)
            return Unanswered("reset")
        self._do(step)
        if step in self.done and step not in self.undone:
            if step not in self.outline.must_succeed and chooser.random() < faults.odd:
                return Answered(400, {}, b"")
            chosen = self.chosen[step]
            return Answered(200, {"ce-type": chosen.event} if chosen else {}, b"")
        return Answered(422, {}, b"")

    def _do(self, step: str) -> None:
        """The effect, once, unless it was refused or is fenced."""
        if step in self.done or step in self.undone or step in self.refused:
            return
        if self.fate[step] == "refused":
            self.refused.add(step)
            return
        self.done.add(step)
        if self.outline.saga.compensation_order == "reverse" and not self.outline.steps[step].read_only:
            self.wrongs += [
                f"{step} acted after {undone}, which it depends on, was undone"
                for undone in self.undone
                if self._follows(step, undone)
            ]

    def undo(self, step: str) -> Answer:
        """Take a call of a compensation."""
        if self.outline.steps[step].participant in self.away:
            return Away()
        lost = self.chooser.random() < self.faults.unanswered
        if not lost or self.chooser.random() < 0.5:
            self._undo(step)
        return Unanswered("reset") if lost else Answered(204, {}, b"")

    def _undo(self, step: str) -> None:
        if step in self.outline.must_succeed or self.outline.steps[step].read_only:
            self.wrongs.append(f"{step} was compensated, which has no compensation")
        if step not in self.undone and self.outline.saga.compensation_order == "reverse":
            standing = {later for later in self.standing if self._follows(later, step)}
            self.wrongs += [f"{step} was undone before {later}, which depends on it" for later in standing]
        self.undone.add(step)

    def _follows(self, later: str, step: str) -> bool:
        """Whether one depends on the other: by a path on which every step between them was done, or counts as done."""
        ahead = [later]
        while ahead:
            for producer in self.outline.inputs[ahead.pop()]:
                if producer == step:
                    return True
                if producer in self.done or (producer in self.outline.steps and self._skipped(producer)):
                    ahead.append(producer)
        return False

    def _skipped(self, step: str) -> bool:
        when = self.outline.steps[step].when
        return when is not None and self.outline.drawn[when] is False
