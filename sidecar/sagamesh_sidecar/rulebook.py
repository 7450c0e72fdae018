"""The rules that this sidecar holds: every revision it ever saw, and the active one of each saga that it may start.

Documents come from the rules bucket, by a push over core NATS and by polling beside it; a delivery whose revision is
not here is held, and asks. Instances keep their revision for life, so nothing is ever thrown away here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from sagamesh import codec, topology
from sagamesh.errors import SagameshError, UnreadableError
from sagamesh.prepared import Rules, prepare
from sagamesh_sidecar.meters import Meters
from sagamesh_sidecar.ports import Log, UnavailableError

log = logging.getLogger("sagamesh.rules")

ACTIVE = "active"
STREAM = f"KV_{topology.RULES_BUCKET}"


class Rulebook:
    """Rules by saga and revision. `learned` is called with each that is new."""

    def __init__(
        self,
        namespace: str,
        participant: str,
        source: Log,
        meters: Meters,
        *,
        poll: float,
        learned: Callable[[Rules], None] = lambda _: None,
    ) -> None:
        self.namespace = namespace
        self.participant = participant
        self.source = source
        self.meters = meters
        self.poll = poll
        self.learned = learned
        self.loaded = asyncio.Event()
        """Set once the bucket was read for the first time."""
        self._revisions: dict[str, dict[str, Rules]] = {}
        self._active: dict[str, str] = {}
        self._wanted: dict[str, str] = {}
        self._read = 0
        self._again = False
        self._bad: set[str] = set()
        self._asked = asyncio.Event()

    def of(self, saga: str, revision: str) -> Rules | None:
        """The rules that an instance runs by. None: not here yet; the bucket is being asked."""
        rules = self._revisions.get(saga, {}).get(revision)
        if rules is None:
            self._again = True  # from the beginning, for the bucket may have been made anew
            self._asked.set()
        return rules

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

    async def run(self) -> None:
        """Read the bucket whenever something is pushed or missed, and every `poll` seconds anyway."""
        pushed = topology.pushed_subjects(self.namespace, self.participant)
        await self.source.listen(pushed, lambda _subject, _body: self._asked.set())
        while True:
            self._asked.clear()
            await self.refresh()
            try:
                async with asyncio.timeout(self.poll if self.loaded.is_set() else 0.5):
                    await self._asked.wait()
            except TimeoutError:
                continue
            await asyncio.sleep(0.2)  # what asks, asks often: one read serves all

    async def refresh(self) -> None:
        """Read what was written since the last time; what cannot be read now is left for the next one."""
        subjects = topology.participant_subjects(self.namespace, self.participant)
        after, self._again = 0 if self._again else self._read, False
        try:
            found = await self.source.read_after(STREAM, subjects, after)
        except UnavailableError as error:
            log.debug("the rules cannot be read", extra={"reason": str(error)})
            return
        for message in found:
            saga, key = message.subject.rsplit(".", 2)[1:]
            if key == ACTIVE:
                self._wanted[saga] = message.body.decode(errors="replace")
            elif key not in self._revisions.get(saga, {}) and message.subject not in self._bad:
                self._load(message)
            self._read = message.sequence
        for saga, revision in self._wanted.items():
            if not revision or revision in self._revisions.get(saga, {}):  # else the last good one stays
                self._active[saga] = revision
        self.loaded.set()

    def _load(self, message: codec.Message) -> None:
        try:
            rules = prepare(codec.decode_rules(message.body))
            if topology.rules_subject(rules.local) != message.subject:
                raise UnreadableError("this document says that it belongs elsewhere")
        except SagameshError as error:
            self._bad.add(message.subject)
            log.error("rules that cannot be used", extra={"subject": message.subject, "reason": str(error)})
            return
        self._revisions.setdefault(rules.local.saga, {})[rules.local.revision] = rules
        self.meters.holds(rules)
        log.info("holds rules", extra={"saga": rules.local.saga, "revision": rules.local.revision})
        self.learned(rules)
