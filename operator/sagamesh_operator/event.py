"""An Event of Kubernetes (events.k8s.io/v1) as the API server takes it, whoever of us reports it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sagamesh.text import rfc3339, shortened
from sagamesh_jetstream.client.ports import JsonObject
from sagamesh_operator.resource import Note

LONGEST_NOTE = 1024
"""Characters that the API server takes in the note of an Event."""


def event(
    metadata: Mapping[str, str],
    regarding: Mapping[str, str],
    note: Note,
    moment: datetime,
    *,
    action: str,
    reporter: str,
    instance: str,
) -> JsonObject:
    """What is posted. `action`: what was being done; `reporter`: a kind of process; `instance`: which one of them."""
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": dict(metadata),
        "eventTime": precise(moment),
        "regarding": dict(regarding),
        "type": note.kind,
        "reason": note.reason,
        "note": shortened(note.message, LONGEST_NOTE),
        "action": action,
        "reportingController": reporter,
        "reportingInstance": instance,
    }


def precise(moment: datetime) -> str:
    """As the API server wants the times of Events: to the microsecond, even where it is none."""
    return rfc3339(moment, "microseconds")
