"""What may come back from a call to the app: an answer, nobody there, or no way to know.

The three are told apart by what the app may have done: with `Away` nothing reached it, with `Unanswered` it may have
acted. What a status means for a saga is decided in core, what happens on the wire in `adapters.http`.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """The whole answer, whatever its status."""

    status: int
    headers: Mapping[str, str]  # lower-case names; repeated ones joined by ", "
    body: bytes


class Away(Exception):  # noqa: N818 - a fact about the app, not an error of anybody
    """Nobody listens: no connection came about, hence nothing was sent and the app did nothing."""


class Unanswered(Exception):  # noqa: N818 - as above
    """Sent, perhaps in part, and no usable answer came: the app may have acted. `str()` is a reason for people."""
