"""Notes which lines of one file run: called by a `sitecustomize` that `trial` puts before every process of the tests.

A process may be killed at any time, so a line is noted when it first runs, and not at the end.
"""

from __future__ import annotations

import os
import sys
import threading
from types import FrameType
from typing import Any


def trace(file: str, notes: str) -> None:
    """From now on, in all threads of this process; `notes` takes a number a line."""
    target = os.open(notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    seen: set[int] = set()

    def on_line(frame: FrameType, event: str, _: Any) -> Any:
        if event == "line" and frame.f_lineno not in seen:
            seen.add(frame.f_lineno)
            os.write(target, b"%d\n" % frame.f_lineno)
        return on_line

    def on_call(frame: FrameType, _event: str, _: Any) -> Any:
        return on_line if frame.f_code.co_filename == file else None

    threading.settrace(on_call)
    sys.settrace(on_call)
