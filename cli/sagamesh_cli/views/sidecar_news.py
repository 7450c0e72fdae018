"""What sidecars have to say beside their registers, as lines for people: whose news, what, and about what.

A sidecar in this process says it by log records, one in a process of its own by the lines of its log (`json_logging`).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sagamesh_cli.output import in_line
from sagamesh_sidecar import json_logging

QUIET = ("debug", "info")
"""Levels of what is no news."""


class NewsFormatter(logging.Formatter):
    """Of the records of sidecars in this process."""

    def format(self, record: logging.LogRecord) -> str:
        exception = self.formatException(record.exc_info) if record.exc_info else ""
        whose = json_logging.PARTICIPANT.get()
        return _news(datetime.fromtimestamp(record.created), whose, record.getMessage(), vars(record), exception)


def of_line(participant: str, line: bytes) -> str:
    """Of a line in the log of a participant's sidecar; empty: it holds no news."""
    try:
        said = json.loads(line)
        if said["level"] in QUIET:
            return ""
        return _news(
            datetime.fromisoformat(said["time"]), participant, said["message"], said, said.get("exception", "")
        )
    except (ValueError, TypeError, KeyError):  # what ends a sidecar is told when it is started again
        return ""


def _news(time: datetime, whose: str, message: str, fields: Mapping[str, Any], exception: str) -> str:
    about = [str(fields[name]) for name in ("instance", "step") if fields.get(name)]
    if fields.get("failures", 1) > 1:
        about.append(f"{fields['failures']} times")
    if "reason" in fields:
        about.append(str(fields["reason"]))
    told = f"{time.astimezone().strftime('%H:%M:%S.%f')[:-3]}  {whose or 'sagamesh'}: {message}"
    return in_line(told + (f" ({', '.join(about)})" if about else "")) + (f"\n{exception}" if exception else "")
