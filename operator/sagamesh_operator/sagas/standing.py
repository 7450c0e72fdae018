"""What is known of a saga outside of Kubernetes: what of it stands in NATS, and whose sidecars hold it. No I/O.

Who distributes is `reconciler`; how people are told is `status`'s.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Struct

from sagamesh.distribution.plan import ForeignStreamError
from sagamesh.errors import SagameshError, UnavailableError
from sagamesh.log.registers import SagaKey
from sagamesh.rules.local import FORMAT
from sagamesh_jetstream.upkeep.fleet import Fleet
from sagamesh_operator.resource import Resource
from sagamesh_operator.sagas.acceptance import Acceptance

NATS_UNAVAILABLE, NATS_REFUSED, FOREIGN = "NatsUnavailable", "NatsRefused", "ForeignStream"
SIDECAR_TOO_OLD = "SidecarTooOld"


class Readiness(NamedTuple):
    """How many live sidecars it has, and how many of them hold the revision."""

    name: str
    sidecars: int
    synced: int


class NotDistributed(NamedTuple):
    """Why a revision does not stand. `lasting`: it will not, unless somebody changes something."""

    reason: str
    message: str
    lasting: bool


class Standing(Struct, frozen=True, kw_only=True):
    """What is known of a saga outside of Kubernetes. `active`: the revision that new instances take.

    `replicas`: on how many servers each entry of its log is; 0: not known.
    """

    active: str = ""
    replicas: int = 0
    problem: NotDistributed | None = None
    participants: tuple[Readiness, ...] = ()


def remembered(resource: Resource) -> Standing:
    """What the status says of an operator's earlier life."""
    return Standing(active=resource.status.get("activeRevision", ""), replicas=resource.status.get("replicas", 0))


def readiness(key: SagaKey, acceptance: Acceptance, fleet: Fleet) -> tuple[Readiness, ...]:
    """How far its revision has come, participant by participant."""
    return tuple(
        Readiness(name, *fleet.count(key.namespace, name, key.saga, acceptance.revision))
        for name in acceptance.documents
    )


def too_old(key: SagaKey, acceptance: Acceptance, fleet: Fleet) -> NotDistributed | None:
    """A sidecar that cannot read the rules would hold every delivery of the new revision."""
    for participant in acceptance.documents:
        for sidecar in fleet.of(key.namespace, participant):
            if FORMAT not in sidecar.formats:
                message = (
                    f"the sidecar in pod {sidecar.pod} of {participant} cannot read rules of format {FORMAT}; "
                    f"restart it with a newer sidecar, and the revision will become active"
                )
                return NotDistributed(SIDECAR_TOO_OLD, message, lasting=True)
    return None


def why_not(error: SagameshError) -> NotDistributed:
    """What it means for a revision that `distribute` has failed so."""
    if isinstance(error, ForeignStreamError):
        return NotDistributed(FOREIGN, str(error), lasting=True)
    if isinstance(error, UnavailableError):
        return NotDistributed(NATS_UNAVAILABLE, str(error), lasting=False)
    return NotDistributed(NATS_REFUSED, str(error), lasting=True)
