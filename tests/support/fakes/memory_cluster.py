"""A cluster in memory, which holds the Sagas of the namespace `shop`, and may be away or lie."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sagamesh.log.registers import SagaKey
from sagamesh_jetstream.client.ports import JsonObject
from sagamesh_operator.ports import ClusterUnavailable
from sagamesh_operator.resource import Note, Resource

STEP = {"name": "charge", "participant": "payments", "after": ["go"], "action": {"path": "/charges"}, "pivot": True}


class MemoryCluster:
    """The port `Cluster`. `watched`: who is told of changes; None: the watch is dead."""

    def __init__(self) -> None:
        self.objects: dict[SagaKey, JsonObject] = {}
        self.version = 1
        self.events: list[Note] = []
        self.patches = 0
        self.away = False
        self.watched: Callable[[str | None, JsonObject], None] | None = None

    def apply(self, name: str, **spec: Any) -> None:
        key = SagaKey("shop", name)
        old = self.objects.get(key)
        self.version += 1
        metadata = {
            "namespace": "shop",
            "name": name,
            "uid": old["metadata"]["uid"] if old else f"uid-{self.version}",
            "generation": old["metadata"]["generation"] + 1 if old else 1,
            "resourceVersion": str(self.version),
        }
        whole = {"start": {"participant": "orders", "event": "go"}, "steps": [STEP], **spec}
        made = {"apiVersion": "sagamesh.dev/v1alpha1", "kind": "Saga", "metadata": metadata, "spec": whole}
        self.objects[key] = made | {"status": old.get("status", {}) if old else {}}
        self._tell("MODIFIED" if old else "ADDED", self.objects[key])

    def delete(self, name: str) -> None:
        self.version += 1
        gone = self.objects.pop(SagaKey("shop", name))
        self._tell("DELETED", gone | {"metadata": gone["metadata"] | {"resourceVersion": str(self.version)}})

    def condition(self, name: str, kind: str) -> tuple[str, str]:
        status = self.objects[SagaKey("shop", name)]["status"]
        return next(((c["status"], c["reason"]) for c in status.get("conditions", ()) if c["type"] == kind), ("", ""))

    async def sagas(self) -> tuple[list[JsonObject], int]:
        self._check()
        return self.listed()

    async def apply_status(self, resource: Resource, status: JsonObject) -> str | None:
        self._check()
        return self.write_status(resource, status)

    async def record(self, key: SagaKey, uid: str, note: Note) -> None:
        self._check()
        self.write_event(key, uid, note)

    # The same at once, for whoever simulates the way to it.

    def listed(self) -> tuple[list[JsonObject], int]:
        return list(self.objects.values()), self.version

    def write_status(self, resource: Resource, status: JsonObject) -> str | None:
        found = self.objects.get(resource.key)
        if found is None or found["metadata"]["uid"] != resource.uid:
            return None
        self.patches += 1
        self.version += 1
        metadata = {**found["metadata"], "resourceVersion": str(self.version)}
        self.objects[resource.key] = {**found, "metadata": metadata, "status": status}
        self._tell("MODIFIED", self.objects[resource.key])
        return str(self.version)

    def write_event(self, key: SagaKey, uid: str, note: Note) -> None:
        self.events.append(note)

    def _tell(self, kind: str, document: JsonObject) -> None:
        if self.watched is not None:
            self.watched(kind, document)

    def _check(self) -> None:
        if self.away:
            raise ClusterUnavailable("the cluster is away")
