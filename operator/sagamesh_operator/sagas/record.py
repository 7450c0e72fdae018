"""What the operator remembers of one saga from turn to turn: all of it in one place. No I/O.

Nothing in here must outlive a restart: what is wanted stands in Kubernetes, what was made of it in NATS, and what was
said of it in the status. When a saga has its turn, and what is done in it, is `reconciler`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from sagamesh.log.registers import SagaKey
from sagamesh_operator.resource import Resource
from sagamesh_operator.sagas.acceptance import Acceptance
from sagamesh_operator.sagas.standing import Standing


class _Judged(NamedTuple):
    """What came of a spec, and of which one."""

    uid: str
    generation: int
    acceptance: Acceptance


class _Said(NamedTuple):
    """A status, and the version of the resource in which it stood."""

    version: int = 0
    status: Mapping[str, Any] = MappingProxyType({})


_NOTHING = _Said()


@dataclass(slots=True, kw_only=True)
class SagaRecord:
    """One saga, from the first word of it until nothing of it is left.

    `resource`: as it was seen last; None: it was deleted, or was never seen and NATS still holds some of it.
    `uid`: of the last resource, which outlives it; empty: there was none. `due`: it is to be distributed at its next
    turn. `standing`: what came of that; None: nothing yet. `failures`: turns in a row that need another one.
    `told_at`: when an Event last said that it still runs though it was deleted, in seconds since the epoch; None: none.
    """

    resource: Resource | None = None
    uid: str = ""
    due: bool = False
    standing: Standing | None = None
    failures: int = 0
    told_at: float | None = None
    _judged: _Judged | None = None
    _said: _Said = _NOTHING

    def see(self, seen: Resource) -> bool:
        """Take what the watch or a list shows, unless newer is known. Whether the saga needs a turn for it."""
        known = self.resource
        same = known is not None and known.uid == seen.uid
        if known is not None and int(known.version) > int(seen.version):
            return False
        if not same:
            self._said = _NOTHING
        if int(seen.version) >= self._said.version:
            self._said = _Said(int(seen.version), seen.status)
        self.resource, self.uid = seen, seen.uid
        changed = known is None or not same or known.generation != seen.generation
        self.due = self.due or changed
        return changed

    def lose(self) -> None:
        """It was deleted: what was made of it, and said of it, means nothing any more."""
        self.resource, self.due, self.standing = None, False, None
        self._judged, self._said = None, _NOTHING

    def is_still(self, resource: Resource) -> bool:
        """Whether the same object is there: it was neither deleted since, nor created again."""
        return self.resource is not None and self.resource.uid == resource.uid

    def judged(self, resource: Resource) -> Acceptance | None:
        """What came of its spec; None: it was not judged yet. Judged once a generation, whatever came of it."""
        judged = self._judged
        if judged is None or (judged.uid, judged.generation) != (resource.uid, resource.generation):
            return None
        return judged.acceptance

    def judge(self, resource: Resource, acceptance: Acceptance) -> None:
        """Whether its spec is accepted, and what it means."""
        self._judged = _Judged(resource.uid, resource.generation, acceptance)

    def concerns(self, participant: str) -> bool:
        """Whether news of its sidecars deserve a turn. A deleted saga may have waited for anybody's."""
        if self.resource is None:
            return True
        return self._judged is not None and participant in self._judged.acceptance.documents

    @property
    def said(self) -> Mapping[str, Any]:
        """The status that stands in the resource, as far as is known."""
        return self._said.status

    def say(self, version: int, status: Mapping[str, Any]) -> None:
        """A status was written, and has made the resource that version."""
        self._said = _Said(max(self._said.version, version), status)


class SagaRecords:
    """One record for each saga of which anything is remembered."""

    def __init__(self) -> None:
        self._records: dict[SagaKey, SagaRecord] = {}

    def of(self, key: SagaKey) -> SagaRecord:
        """The saga's record, which is made where there is none."""
        return self._records.setdefault(key, SagaRecord())

    def drop(self, key: SagaKey) -> None:
        """Nothing of it is left."""
        del self._records[key]

    def present(self) -> dict[SagaKey, Resource]:
        """The Sagas that are there."""
        return {key: record.resource for key, record in self._records.items() if record.resource is not None}

    def concerned(self, namespace: str, participant: str) -> list[SagaKey]:
        """Those for which news of a participant's sidecars deserve a turn."""
        ours = (item for item in self._records.items() if item[0].namespace == namespace)
        return [key for key, record in ours if record.concerns(participant)]
