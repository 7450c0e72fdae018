"""A Saga as the API server shows it: what the operator reads of it, and what it says in return. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from msgspec import Struct

from sagamesh.log.registers import SagaKey


class Resource(Struct, frozen=True, kw_only=True):
    """One Saga at one moment. `version` grows with each change of anything, `generation` with each of the spec."""

    key: SagaKey
    uid: str
    generation: int
    version: str
    document: Mapping[str, Any]
    status: Mapping[str, Any]


class Note(NamedTuple):
    """An Event of Kubernetes: one word for machines, one sentence for people."""

    kind: Literal["Normal", "Warning"]
    reason: str
    message: str


def resource(document: Mapping[str, Any]) -> Resource:
    """What the API server said."""
    metadata = document["metadata"]
    return Resource(
        key=SagaKey(metadata["namespace"], metadata["name"]),
        uid=metadata["uid"],
        generation=metadata["generation"],
        version=metadata["resourceVersion"],
        document={field: document.get(field) for field in ("apiVersion", "kind", "metadata", "spec")},
        status=document.get("status") or {},
    )
