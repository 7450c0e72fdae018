"""The resource `sagas.sagamesh.dev` as a file. What stands in it is said by `sagamesh_operator.crd`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from sagamesh_operator import crd

HEAD = "# Made by `make manifests`; the language is in core/sagamesh/language.\n"


def text() -> str:
    """The file."""
    return HEAD + as_yaml(crd.resource())


def as_yaml(document: Mapping[str, Any]) -> str:
    """One object as people and `kubectl` like to read it."""
    return yaml.dump(document, Dumper=_WithoutAnchors, sort_keys=False, width=120, allow_unicode=True)


class _WithoutAnchors(yaml.SafeDumper):
    """What stands twice is written twice."""

    def ignore_aliases(self, _data: object) -> bool:
        return True
