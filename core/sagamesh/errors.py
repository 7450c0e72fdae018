"""Every error that Sagamesh raises on purpose. Whose fault it is, is its type.

SagameshError
├── SpecError          the saga's author: a field is missing, wrong, or not built yet
├── ExpressionError    the saga's author: a CEL expression does not compile, or could cost too much
├── EvaluationError    the data: a CEL expression that compiles failed on it
├── EventError         the sender: an event or an instance id that cannot be used
├── UnreadableError    the log: a register or document from the future, or a corrupt one
├── UnavailableError   nobody's, or not known: NATS did not answer
└── SettingsError      whoever set up the process: a variable of its environment is missing or wrong
"""

from __future__ import annotations


class SagameshError(Exception):
    """The root of the tree. Its text is one clear sentence for the one who can mend it."""


class SpecError(SagameshError):
    """A `Saga` document cannot be read.

    `path` names the field, as in `spec.steps[2].action.path`; `message` says what is wrong and how to mend it.
    """

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path = path
        self.message = message


class ExpressionError(SagameshError):
    """A CEL expression is refused when its saga is applied. The message gives the position where there is one."""


class EvaluationError(SagameshError):
    """A CEL expression failed on the data that it met. Deterministic: the same data fail again.

    `place`: the field in which it stands, such as `action.body`. The text names paths into the data, never values.
    """

    def __init__(self, message: str, place: str = "") -> None:
        super().__init__(message)
        self.place = place


class EventError(SagameshError):
    """An event, a key or an instance id that its sender must mend."""


class UnreadableError(SagameshError):
    """Bytes of the log or of a rules document that this version cannot read. Never guessed at, never acked away."""


class UnavailableError(SagameshError):
    """What we speak to did not answer, or cannot be reached: nothing is known. To be tried again."""


class SettingsError(SagameshError):
    """A setting of a process is missing or wrong; the message says which and why."""
