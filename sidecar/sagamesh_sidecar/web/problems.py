"""What can be wrong with a request, as problem details (RFC 9457). Codes are a promise: see `docs/problems.md`.

The `type` of each is the address of its section there; a test holds this table and that page together. Texts are for
people and may change; codes and statuses do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from sagamesh.api_group import DOCS
from sagamesh.text import cut

CONTENT_TYPE = "application/problem+json"
PAGE = f"{DOCS}problems.md"


class ProblemKind(NamedTuple):
    """A status, and a title that is the same each time."""

    status: int
    title: str


KINDS: Mapping[str, ProblemKind] = {
    "bad-request": ProblemKind(400, "The request cannot be read"),
    "bad-event": ProblemKind(400, "The event cannot be used"),
    "bad-wait": ProblemKind(400, "The wait cannot be used"),
    "bad-body": ProblemKind(400, "The body cannot be used"),
    "foreign-host": ProblemKind(403, "Only this machine is served"),
    "no-such-path": ProblemKind(404, "There is nothing at this path"),
    "nobody-listens": ProblemKind(404, "The event starts no saga here"),
    "unknown-saga": ProblemKind(404, "The saga is not known here"),
    "unknown-instance": ProblemKind(404, "The saga has no such instance"),
    "method-not-allowed": ProblemKind(405, "The path does not take this method"),
    "slow-body": ProblemKind(408, "The body did not arrive in time"),
    "key-conflict": ProblemKind(409, "The key is taken by another payload"),
    "decided": ProblemKind(409, "The outcome is decided"),
    "pivot-started": ProblemKind(409, "The pivot is at work"),
    "too-large": ProblemKind(413, "The body is too large"),
    "not-json": ProblemKind(415, "The content type cannot be used"),
    "bad-key": ProblemKind(422, "The event names no instance"),
    "not-started": ProblemKind(424, "Another saga or event kept it from being started"),
    "unreadable": ProblemKind(500, "The log holds something that this version cannot read"),
    "internal": ProblemKind(500, "The sidecar failed"),
    "busy": ProblemKind(503, "The sidecar cannot take more just now"),
    "start-unknown": ProblemKind(503, "It is not known whether the saga was started"),
    "log-unavailable": ProblemKind(503, "The log does not answer"),
    "rules-missing": ProblemKind(503, "The rules are not here yet"),
}

RETRY_AFTER = "1"
"""Seconds, the least that the header can say."""
"""Seconds, said with every 503: by then a log that is being elected or reconnected is back."""


class ProblemError(Exception):
    """A request that is not carried out. `more` becomes further members, `headers` go with the answer."""

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        more: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = cut(detail)
        self.kind = KINDS[code]
        self.more = more or {}
        self.headers = {**({"retry-after": RETRY_AFTER} if self.kind.status == 503 else {}), **(headers or {})}

    @property
    def status(self) -> int:
        return self.kind.status

    def document(self) -> bytes:
        return msgspec.json.encode(
            {
                "type": f"{PAGE}#{self.code}",
                "title": self.kind.title,
                "status": self.status,
                "detail": self.detail,
                "code": self.code,
                **self.more,
            }
        )
