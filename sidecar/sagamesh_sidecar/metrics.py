"""What is counted, as a protocol: the relay reports what happened, an adapter makes series of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from sagamesh.log.registers import Name
from sagamesh.protocol.answers import Answer
from sagamesh.protocol.attempt import WriteRefused
from sagamesh.rules.compiled import Rules


class Metrics(Protocol):
    """Every method is cheap, and none ever raises. Labels never hold instance ids."""

    def holds(self, rules: Rules) -> None:
        """Rules were loaded: from now on their saga, steps and revision are known labels."""
        ...

    def forgets(self, saga: str) -> None:
        """A saga was deleted: nothing is said of it any more."""
        ...

    def listens(self, saga: str, up: Callable[[], bool]) -> None:
        """The deliveries of a saga are asked for from now on. `up`: whether they can come just now."""
        ...

    def started(self, saga: str) -> None: ...

    def finished(self, saga: str, outcome: str, seconds: float) -> None: ...

    def parked(self, saga: str, sagas: int) -> None:
        """So many instances of a saga are parked at this sidecar just now."""
        ...

    def called(self, saga: str, step: str, kind: str, answer: Answer, seconds: float) -> None: ...

    def unevaluable(self, saga: str, step: str, place: str) -> None:
        """An expression of a step, in the field `place`, could not be evaluated."""
        ...

    def delivered(self, saga: str, result: str) -> None: ...

    def wrote(self, name: Name, result: int | WriteRefused) -> None: ...

    def unreadable(self) -> None: ...

    def implausible(self, register: str) -> None:
        """A register says what nobody honest has written: it is held, and not acted upon."""
        ...
