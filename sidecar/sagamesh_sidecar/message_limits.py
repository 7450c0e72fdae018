"""What a log can take: subjects and headers that mean on the wire what they say here, and sizes that fit.

Every adapter of `ports.Log` asks here before it sends, because no reply would tell: an oversized message makes the
server drop the connection, and a control character is another command of the protocol. What is refused is a mistake of
the caller, hence a ValueError; but for the size, which `deliveries.executor` tells core.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_SUBJECT = re.compile(r"[^\s\x00-\x20\x7f.*>]+(?:\.[^\s\x00-\x20\x7f.*>]+)*")
_NAMES = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]*")
_VALUES = re.compile(r"[^\x00-\x1f\x7f]*")

_FRAME = len("NATS/1.0\r\n\r\n")
_FRAME_OF_ONE = len(": \r\n")


class OversizedError(ValueError):
    """The message is more than the log takes, with its headers. In bytes."""

    def __init__(self, subject: str, size: int, most: int) -> None:
        super().__init__(f"{subject}: {size} bytes with its headers, and at most {most} can be stored")
        self.size = size
        self.most = most


def check(subject: str, headers: Mapping[str, str], body: bytes, room: int) -> None:
    """Raises ValueError for what cannot be stored as it is. `room` is the most that headers and body may take.

    What is too large is an OversizedError: the size is the app's doing, and the room the server's.
    """
    check_subject(subject)
    # All names at once, then all values: this runs for every write.
    names, values = "".join(headers), "".join(headers.values())
    if "" in headers or not _NAMES.fullmatch(names):
        raise ValueError(f"one of these is no name of a header: {list(headers)}")
    if not _VALUES.fullmatch(values):
        raise ValueError(f"a header has control characters: {dict(headers)}")
    size = len(body) + _FRAME + _FRAME_OF_ONE * len(headers) + len(names) + len(values.encode())
    if size > room:
        raise OversizedError(subject, size, room)


def check_subject(subject: str) -> None:
    """Raises ValueError for what is no literal subject."""
    if not _SUBJECT.fullmatch(subject):
        raise ValueError(f"no literal subject, without blanks, wildcards and control characters: {subject!r}")
