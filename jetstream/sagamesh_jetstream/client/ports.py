"""What `upkeep` and everybody above it need of JetStream, as a protocol, and how it says no.

Nothing here knows a client: `session` holds the real adapter. How deliveries are taken is the sidecar's own port.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from sagamesh.errors import SagameshError
from sagamesh.log.codec import Message

JsonObject = dict[str, Any]
"""An object of somebody's API, as JSON or YAML tells it: read by its keys, and never owned by a class of ours."""


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
        """The reply to `$JS.API.<verb>`. Raises JetStreamError and UnavailableError."""
        ...

    async def publish(self, subject: str, body: bytes) -> int:
        """Store a message; its stream sequence. Raises JetStreamError and UnavailableError."""
        ...

    async def last(self, stream: str, subjects: Sequence[str]) -> tuple[Message, ...]:
        """The last message of each of these subjects, at most a few hundred; what is stale or absent does not come.

        Raises UnavailableError.
        """
        ...
