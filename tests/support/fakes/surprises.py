"""What the product logs with a traceback: a fault of ours, which it outlives, and a test must not."""

from __future__ import annotations

import logging
from collections.abc import Callable


class Surprises(logging.Handler):
    """Blames what is logged so under a name, as long as it is entered; the rest of it goes nowhere."""

    def __init__(self, name: str, blame: Callable[[str], None]) -> None:
        super().__init__(logging.ERROR)
        self._blame = blame
        self._logger = logging.getLogger(name)
        self._before = self._logger.level, self._logger.propagate

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self._blame(f"{record.getMessage()}: {self.format(record)}")

    def __enter__(self) -> None:
        self._logger.addHandler(self)
        self._logger.setLevel(logging.ERROR)
        self._logger.propagate = False

    def __exit__(self, *_: object) -> None:
        self._logger.removeHandler(self)
        self._logger.level, self._logger.propagate = self._before
