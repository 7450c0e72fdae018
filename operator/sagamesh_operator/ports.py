"""What the operator's side needs of the world, as protocols. `adapters` holds the real ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from sagamesh.errors import SagameshError
from sagamesh.log.codec import Message
from sagamesh.log.registers import SagaKey
from sagamesh_operator.resource import JsonObject, Note, Resource


class JetStreamError(SagameshError):
    """JetStream answered no. Its codes are what to branch on: `code` alone says little, `err_code` is exact."""

    def __init__(self, asked: str, code: int, err_code: int, description: str) -> None:
        super().__init__(f"NATS refused {asked}: {description} ({err_code})")
        self.code = code
        self.err_code = err_code
        self.description = description


class JetStream(Protocol):
    """The API of JetStream, as raw JSON: a client's config classes drop what they do not know."""

    async def api(self, verb: str, body: JsonObject | None = None) -> JsonObject:
        """The reply to `$JS.API.<verb>`. Raises ApiRefused and UnavailableError."""
        ...

    async def publish(self, subject: str, body: bytes) -> int:
        """Store a message; its stream sequence. Raises ApiRefused and UnavailableError."""
        ...

    async def last(self, stream: str, subjects: Sequence[str]) -> tuple[Message, ...]:
        """The last message of each of these subjects, at most a few hundred; what is stale or absent does not come.

        Raises UnavailableError.
        """
        ...


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
