"""When files have changed and rest: an editor may empty a file, fill it in parts, or put another one in its place.

`look` sees what is there; `FileWatch` decides by such looks alone, and knows neither disk nor clock.
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from sagamesh_cli.saga_files import MAX_BYTES


class FileLook(NamedTuple):
    """One file at one moment. `content`: a digest of it."""

    name: str
    changed_ns: int
    size: int
    content: bytes


Looks = tuple[FileLook | None, ...]
"""All files at one moment, in their order. None: it was not there, or could not be read."""


class FileWatch:
    """Which look shows a change to be taken: what is there differs from what was taken last, and rests."""

    def __init__(self, taken: Looks) -> None:
        self._taken = _contents(taken)
        self._last = taken

    def see(self, looks: Looks) -> bool:
        """Take in the next look; whether it shows a change, and nothing has moved since the one before."""
        rests = looks == self._last
        self._last = looks
        return rests and _contents(looks) != self._taken

    def take(self, looks: Looks) -> None:
        """What is known from now on: whether it was good or not, it is no change any more."""
        self._taken = _contents(looks)


def look(names: Iterable[str]) -> Looks:
    """The files as they are now."""
    return tuple(map(_look, names))


def _contents(looks: Looks) -> tuple[bytes | None, ...]:
    """What counts as a change: a file that is but written again means what it meant."""
    return tuple(each and each.content for each in looks)


def _look(name: str) -> FileLook | None:
    path = Path(name)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe gives what it holds only once
            return None
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)  # one byte more is refused, whatever follows
    except (OSError, ValueError):  # ValueError: a name with a null byte
        return None
    return FileLook(name, status.st_mtime_ns, status.st_size, hashlib.sha256(content).digest())
