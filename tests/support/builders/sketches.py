"""Sagas in short, and what the checks find in them."""

from __future__ import annotations

import re

import yaml

from sagamesh.language import spec
from sagamesh.language.findings import Finding
from sagamesh.language.model import Saga
from support.builders.check_examples import of_fields


def saga(text: str) -> Saga:
    return spec.read(of_fields(text))


def steps(*lines: str) -> Saga:
    """Steps in short: `name: inputs [-> events] [; fields]`. Read-only unless the fields say otherwise."""
    written = []
    for line in lines:
        head, _, fields = line.partition(";")
        name, on, emits = re.fullmatch(r"([\w-]+):(.*?)(?: -> (.*))?", head.strip()).groups()  # type: ignore[union-attr]
        events = (emits or f"{name}.done").split()
        when = [{"event": event, "when": "response.status == 200"} for event in events[:-1]]
        own = yaml.safe_load(f"{{{fields}}}") if fields.strip() else {"readOnly": True}
        written.append(
            {
                "name": name,
                "participant": "app",
                "after": on.split(),
                "action": {"path": "/a"},
                "emits": [*when, {"event": events[-1]}],
                **own,
            }
        )
    return saga(yaml.safe_dump({"steps": written}))


def codes(found: tuple[Finding, ...]) -> list[str]:
    return [finding.code for finding in found]
