"""What keeps a command from running that is neither the saga's fault nor the user's input: the machine around it."""

from __future__ import annotations

from typing import ClassVar


class EnvironmentFault(Exception):  # noqa: N818 - the fault is of the environment, not of the program
    """A port, a server or the file system is not as it must be. The text says what to do about it."""

    exit_code: ClassVar[int] = 3
    """By the table of exit codes in `main`, as all of them."""
