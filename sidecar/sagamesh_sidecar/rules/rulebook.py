"""The rules that this sidecar holds: every revision it ever saw, and the active one of each saga that it may start.

Documents come from the rules bucket, by a push over core NATS and by polling beside it; a delivery whose revision is
not here is held, and asks. Instances keep their revision for life, so nothing is thrown away here, whatever becomes of
the bucket, but where it says that a saga was deleted and has ended.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import NamedTuple

from sagamesh.distribution import buckets
from sagamesh.distribution.buckets import RULES_STREAM, BucketKey
from sagamesh.errors import SagameshError, UnavailableError, UnreadableError
from sagamesh.log import codec
from sagamesh.rules.codec import decode_rules
from sagamesh.rules.compiled import Rules, prepare
from sagamesh.text import cut
from sagamesh_sidecar.metrics import Metrics
from sagamesh_sidecar.ports import Log

logger = logging.getLogger("sagamesh.rules")

UNREAD_POLL = 0.5
"""Seconds between tries, until the bucket was read for the first time: nothing can go on without, and soon."""
GATHER = 0.2
"""Seconds between a question and the read that answers it: what asks, asks often, and one read serves all."""


class BadDocument(NamedTuple):
    """A document that cannot be used, and why."""

    body: bytes
    reason: str


class Rulebook:
    """Rules by saga and revision. `learned` is called with each that is new, `retired` with each saga that was deleted.

    `changed` is called after any change.
    """

    def __init__(
        self,
        namespace: str,
        participant: str,
        source: Log,
        metrics: Metrics,
        *,
        poll: float,
        learned: Callable[[Rules], None] = lambda _: None,
        retired: Callable[[str], None] = lambda _: None,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.namespace = namespace
        self.participant = participant
        self.source = source
        self.metrics = metrics
        self.poll = poll
        self.learned = learned
        self.retired = retired
        self.changed = changed
        self.loaded = asyncio.Event()
        """Set once the bucket was read for the first time, or rules were there from before."""
        self.entries: dict[str, bytes] = {}
        """What it holds as it stood in the bucket, by subject: every document that can be used, and `active`."""
        self._revisions: dict[str, dict[str, Rules]] = {}
        self._active: dict[str, str] = {}
        self._wanted: dict[str, str] = {}
        self._last: codec.Message | None = None  # of those that were read
        self._again = False
        self._bad: dict[BucketKey, BadDocument] = {}
        self._asked = asyncio.Event()

    def of(self, saga: str, revision: str) -> Rules | None:
        """The rules that an instance runs by. None: not here yet; the bucket is being asked."""
        rules = self._revisions.get(saga, {}).get(revision)
        if rules is None:
            self._again = True  # from the beginning, for the bucket may have been made anew
            self._asked.set()
        return rules

    def lacking(self, saga: str, revision: str) -> str:
        """Why a revision cannot be carried out here, as a sentence."""
        bad = self._bad.get(BucketKey(self.namespace, self.participant, saga, revision))
        return f"revision {revision} cannot be used: {bad.reason}" if bad else f"revision {revision} is not here yet"

    def active(self, saga: str) -> Rules | None:
        """The rules that a new instance takes. None: this participant does not start the saga, or not yet."""
        revision = self._active.get(saga)
        return None if revision is None else self._revisions.get(saga, {}).get(revision)

    @property
    def startable(self) -> tuple[Rules, ...]:
        """The active rules of each saga that this participant starts."""
        active = [self.active(saga) for saga in self._active]
        return tuple(rules for rules in active if rules is not None)

    def started_by(self, event: str) -> tuple[Rules, ...]:
        """The active rules of each saga that this event starts at this participant."""
        return tuple(rules for rules in self.startable if rules.local.start_event == event)

    def newest(self, saga: str) -> Rules | None:
        """Some revision of a saga: the active one if it is known here, else the one that was learned last."""
        revisions = self._revisions.get(saga)
        return self.active(saga) or (next(reversed(revisions.values())) if revisions else None)

    @property
    def holds(self) -> dict[str, tuple[str, ...]]:
        """Saga -> revisions that can be carried out here."""
        return {saga: tuple(revisions) for saga, revisions in self._revisions.items()}

    @property
    def starts(self) -> dict[str, str]:
        """Saga -> the revision that a new instance takes here."""
        return {rules.local.saga: rules.local.revision for rules in self.startable}

    def restore(self, entries: Mapping[str, bytes]) -> None:
        """Begin with what was held before. The bucket has the last word, as soon as it can be read."""
        for subject, body in entries.items():
            self._take(subject, body)
        self._bad.clear()  # the bucket may have it whole
        self._activate()
        if self._revisions:
            logger.info("holds the rules of before, until the bucket is read")
            self.loaded.set()

    async def run(self) -> None:
        """Read the bucket whenever something is pushed or missed, and every `poll` seconds anyway."""
        pushed = buckets.pushed_subjects(self.namespace, self.participant)
        await self.source.listen(pushed, lambda _subject, _body: self._asked.set())
        read = False
        while True:
            self._asked.clear()
            read = await self.refresh() or read
            try:
                async with asyncio.timeout(self.poll if read else UNREAD_POLL):
                    await self._asked.wait()
            except TimeoutError:
                continue
            await asyncio.sleep(GATHER)

    async def refresh(self) -> bool:
        """Read what was written since the last time. False: it cannot be read now, which is left for the next one."""
        again, self._again = self._again, False
        try:
            written = await self._written(again)
        except UnavailableError as error:
            self._again = again
            logger.debug("the rules cannot be read", extra={"reason": cut(str(error))})
            return False
        before = dict(self.entries)
        for message in written:
            self._take(message.subject, message.body)
        if not self._activate():
            self._again = True  # it names a document that should be there
        self.loaded.set()
        if self.entries != before:
            self.changed()
        return True

    async def _written(self, again: bool) -> tuple[codec.Message, ...]:
        """What is new in the bucket; all of it, if it is another bucket than the last time."""
        subjects = buckets.participant_subjects(self.namespace, self.participant)
        written: tuple[codec.Message, ...] = ()
        if self._last is not None and not again:
            written = await self.source.read_after(RULES_STREAM, subjects, self._last.sequence - 1)
        if not any(self._stands(message) for message in written):
            written = await self.source.read_after(RULES_STREAM, subjects, 0)
            self._last = None
        self._last = written[-1] if written else self._last
        return written

    def _stands(self, message: codec.Message) -> bool:
        """Whether this is the last one that was read, or has taken its place: then nothing before it is new."""
        last = self._last
        if last is None or message.subject != last.subject:
            return False
        return message.sequence > last.sequence or message.time == last.time

    def _take(self, subject: str, body: bytes) -> None:
        """An entry of the bucket, or of its copy."""
        key = self._own_key(subject)
        if key is None:
            return
        if buckets.is_active_key(subject):
            self._wanted[key.saga] = body.decode(errors="replace")
            self.entries[subject] = body
        elif buckets.is_retired_key(subject):
            self._forget(key.saga)
        elif key.entry not in self._revisions.get(key.saga, {}) and not self._is_bad(key, body):
            self._load(key, subject, body)

    def _is_bad(self, key: BucketKey, body: bytes) -> bool:
        """Whether this very document could not be used before."""
        bad = self._bad.get(key)
        return bad is not None and bad.body == body

    def _own_key(self, subject: str) -> BucketKey | None:
        """None: it is no key of the bucket, or not one of this participant."""
        try:
            key = buckets.bucket_key_of(subject)
        except UnreadableError:
            return None
        return key if (key.namespace, key.participant) == (self.namespace, self.participant) else None

    def _forget(self, saga: str) -> None:
        """A saga was deleted, and everything of it has ended. What follows in the bucket is a new one of its name."""
        self._active.pop(saga, None)
        self._wanted.pop(saga, None)
        self.entries = {s: body for s, body in self.entries.items() if buckets.saga_of_key(s).saga != saga}
        if self._revisions.pop(saga, None):
            logger.info("a saga was deleted", extra={"saga": saga})
            self.metrics.forgets(saga)
            self.retired(saga)

    def _activate(self) -> bool:
        """Take the revisions that are to be active; where one is not here, the last good one stays. Whether all are."""
        held = {s: r for s, r in self._wanted.items() if not r or r in self._revisions.get(s, {})}
        self._active |= held
        return len(held) == len(self._wanted)

    def _load(self, key: BucketKey, subject: str, body: bytes) -> None:
        try:
            rules = prepare(decode_rules(body))
            if buckets.rules_subject(rules.local) != subject:
                raise UnreadableError("this document says that it belongs elsewhere")
        except SagameshError as error:
            self._bad[key] = BadDocument(body, cut(str(error)))
            logger.error("rules that cannot be used", extra={"subject": subject, "reason": cut(str(error))})
            return
        self._bad.pop(key, None)
        self._revisions.setdefault(rules.local.saga, {})[rules.local.revision] = rules
        self.entries[subject] = body
        self.metrics.holds(rules)
        logger.info("holds rules", extra={"saga": rules.local.saga, "revision": rules.local.revision})
        self.learned(rules)
