"""What the product logs with a traceback: a fault of ours, which it outlives, and a test must not.

And, for whoever wants to judge them, all the other lines.
"""

from __future__ import annotations

import logging
from collections.abc import Callable


class Surprises(logging.Handler):
    """Blames what is logged so under a name, as long as it is entered; the rest of it goes nowhere, or to `heard`."""

    def __init__(
        self, name: str, blame: Callable[[str], None], heard: Callable[[logging.LogRecord], None] | None = None
    ) -> None:
        super().__init__(logging.DEBUG if heard else logging.ERROR)
        self._blame = blame
        self._heard = heard or (lambda _record: None)
        self._logger = logging.getLogger(name)
        self._before = self._logger.level, self._logger.propagate

    def emit(self, record: logging.LogRecord) -> None:
        self._heard(record)
        if record.exc_info:
            self._blame(f"{record.getMessage()}: {self.format(record)}")

    def __enter__(self) -> None:
        self._logger.addHandler(self)
        self._logger.setLevel(self.level)
        self._logger.propagate = False

    def __exit__(self, *_: object) -> None:
        self._logger.removeHandler(self)
        self._logger.level, self._logger.propagate = self._before
