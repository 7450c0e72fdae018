"""The last good rules, kept on this pod's disk: a sidecar that starts while the rules bucket cannot be read has them.

One file: the SHA-256 of the rest, and the entries as JSON. It is never more than a help: what is wrong with it, or with
the disk, is told once.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Callable, Mapping

from msgspec import Struct, json

from sagamesh.errors import UnreadableError
from sagamesh.log.payload import UNDECODABLE
from sagamesh.text import cut
from sagamesh_sidecar.ports import Store, StoreError

logger = logging.getLogger("sagamesh.rules")

FORMAT = 1
"""Of the file; another one than that of the rules in it. A version that keeps something else takes the next number."""
COALESCE = 0.2
"""Seconds in which what changes one after the other is written at once: a disk need not write each of a rollout."""
RETRY = 60.0
"""Seconds between tries, while the disk takes nothing: it is a help only, and disks are not mended sooner."""

Entries = dict[str, bytes]


class Copy(Struct, frozen=True, kw_only=True):
    """What is kept: entries of the rules bucket, by subject, of one participant."""

    format: int = FORMAT
    namespace: str
    participant: str
    entries: dict[str, str]


def encode(namespace: str, participant: str, entries: Mapping[str, bytes]) -> bytes:
    """The file. Entries are text: JSON, or a revision."""
    texts = {subject: body.decode(errors="replace") for subject, body in entries.items()}
    body = json.encode(Copy(namespace=namespace, participant=participant, entries=texts))
    return hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def decode(namespace: str, participant: str, file: bytes) -> Entries:
    """Raises UnreadableError for what is damaged, of another format, or of another participant."""
    digest, _, body = file.partition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != digest:
        raise UnreadableError("it is damaged")
    try:
        copy = json.decode(body, type=Copy)
    except UNDECODABLE as error:
        raise UnreadableError(str(error)) from error
    if copy.format != FORMAT:
        raise UnreadableError(f"it has format {copy.format}; this version reads format {FORMAT}")
    if (copy.namespace, copy.participant) != (namespace, participant):
        raise UnreadableError(f"it belongs to {copy.participant} in {copy.namespace}")
    return {subject: text.encode() for subject, text in copy.entries.items()}


class RulesCache:
    """Reads the copy once, and writes it whenever `changed` was called."""

    def __init__(self, namespace: str, participant: str, store: Store, entries: Callable[[], Entries]) -> None:
        self._of = (namespace, participant)
        self._store = store
        self._entries = entries
        self._changed = asyncio.Event()
        self._failed = False

    def changed(self) -> None:
        """The entries are others: write them soon."""
        self._changed.set()

    async def load(self) -> Entries:
        """What was kept; nothing where nothing was, or none of it can be used."""
        try:
            file = await self._store.read()
            return {} if file is None else decode(*self._of, file)
        except (StoreError, UnreadableError) as error:
            logger.warning("the copy of the rules on disk cannot be used", extra={"reason": cut(str(error))})
            return {}

    async def run(self) -> None:
        """Write, again and again, until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RETRY if self._failed else None):
                    await self._changed.wait()
            await asyncio.sleep(COALESCE)
            self._changed.clear()
            await self._save()

    async def _save(self) -> None:
        try:
            await self._store.write(encode(*self._of, self._entries()))
        except StoreError as error:
            if not self._failed:
                logger.warning("the rules cannot be kept on disk", extra={"reason": cut(str(error))})
            self._failed = True
        else:
            self._failed = False
