"""What the operator's side needs of Kubernetes, as protocols. `adapters` holds the real ones; NATS is `jetstream`'s."""

from __future__ import annotations

from typing import Protocol

from sagamesh.errors import SagameshError
from sagamesh.log.registers import SagaKey
from sagamesh_jetstream.client.ports import JsonObject
from sagamesh_operator.resource import Note, Resource


class ClusterUnavailable(SagameshError):  # noqa: N818 - as UnavailableError, of Kubernetes
    """The API server did not answer, or refused (`status`; 0: no answer): to be tried again."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class NoCluster(ClusterUnavailable):
    """Nothing says where a cluster is."""


class Cluster(Protocol):
    """The API of Kubernetes, beside the watch. All of it raises ClusterUnavailable."""

    async def sagas(self) -> tuple[list[JsonObject], int]:
        """Every Saga, of all namespaces, and the version of the list."""
        ...

    async def apply_status(self, resource: Resource, status: JsonObject) -> str | None:
        """Make this the status, by server-side apply; the object's new version.

        None: that object is gone, or another of its name is there.
        """
        ...

    async def record(self, key: SagaKey, uid: str, note: Note) -> None:
        """An Event about a Saga, which may be deleted already (`uid`: empty where it is not known)."""
        ...


class Objects(Protocol):
    """Single objects of Kubernetes, by their paths. All of it raises ClusterUnavailable."""

    async def get(self, path: str) -> JsonObject | None:
        """As it is now, not as it was a moment ago; None: there is none."""
        ...

    async def replace(self, path: str, document: JsonObject) -> JsonObject | None:
        """Write an object that was read before; None: it was changed since, or is gone."""
        ...


class Events(Protocol):
    """Events of Kubernetes about whatever it is. All of it raises ClusterUnavailable."""

    async def create_event(self, document: JsonObject) -> None:
        """A new one, in the namespace that it names."""
        ...

    async def repeat_event(self, namespace: str, name: str, series: JsonObject) -> bool:
        """What was told has happened again: `series` says how often, and when last. False: there is no such Event."""
        ...
