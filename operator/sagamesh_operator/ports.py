"""What the operator's side needs of the world, as protocols. `adapters` holds the real ones."""

from __future__ import annotations

from typing import Any, Protocol

from sagamesh.errors import SagameshError

Document = dict[str, Any]


class UnavailableError(SagameshError):
    """NATS did not answer, or cannot be reached: nothing is known. To be tried again."""


class ApiRefused(SagameshError):  # noqa: N818 - an answer, which some callers wait for
    """JetStream answered no. Its codes are what to branch on: `code` alone says little, `err_code` is exact."""

    def __init__(self, asked: str, code: int, err_code: int, description: str) -> None:
        super().__init__(f"NATS refused {asked}: {description} ({err_code})")
        self.code = code
        self.err_code = err_code
        self.description = description


class JetStream(Protocol):
    """The API of JetStream, as raw JSON: a client's config classes drop what they do not know."""

    async def api(self, verb: str, body: Document | None = None) -> Document:
        """The reply to `$JS.API.<verb>`. Raises ApiRefused and UnavailableError."""
        ...

    async def publish(self, subject: str, body: bytes) -> int:
        """Store a message; its stream sequence. Raises ApiRefused and UnavailableError."""
        ...
