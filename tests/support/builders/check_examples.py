"""The examples of `docs/checks.md`: of each code a saga that gets it, and the same one mended."""

from __future__ import annotations

import re
from typing import Any

import yaml

from sagamesh import api_group
from support.builders.documents import DOCS

PAGE = (DOCS / "checks.md").read_text()
SECTIONS = dict(re.findall(r"^### (SM\d+)\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL))
"""Code -> what the page says of it."""
EXAMPLES = {code: re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) for code, text in SECTIONS.items()}
"""Code -> the fields of `spec` that get it, and those that are mended."""


def of_fields(text: str) -> dict[str, Any]:
    """The document whose `spec` has these fields; its start is that of all examples, if they name none."""
    written: dict[str, Any] = {"start": {"participant": "orders", "event": "order.placed"}, **yaml.safe_load(text)}
    return {"apiVersion": api_group.API_VERSION, "kind": "Saga", "metadata": {"name": "checkout"}, "spec": written}
