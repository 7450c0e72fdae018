"""The chart as Helm renders it, what Helm finds wrong with it, and the table of its values in its README.

What is made of the rendered objects is in `manifests`.
"""

from __future__ import annotations

import functools
import json
import operator
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import helm_python
import yaml

from sagamesh_jetstream.client.ports import JsonObject

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "sagamesh"
README = CHART / "README.md"
NAMESPACE = "sagamesh-system"
INFO = 1
"""Helm's number for a message that is no fault; warnings and errors are higher."""
NOT_FETCHED = "chart directory is missing these dependencies: nats"  # it is not ours, so it is not in the repository


def render(values: Mapping[str, Any] | None = None, *, chart: Path = CHART, name: str = "sagamesh") -> list[JsonObject]:
    """All objects of a release, hooks included. Raises helm_python.HelmError for values that the chart refuses."""
    with helm_python.Chart.load(chart) as loaded:
        texts = loaded.render(dict(values or {}), name=name, namespace=NAMESPACE)
    files = [yaml.load_all(text, yaml.CSafeLoader) for path, text in sorted(texts.items()) if path.endswith(".yaml")]
    return [document for documents in files for document in documents if document]


def complete(directory: Path) -> Path:
    """A copy that Helm installs: a chart that shows what it is told stands in for NATS's own, which is not ours."""
    copy = Path(shutil.copytree(CHART, directory / "sagamesh"))
    nats = copy / "charts" / "nats"
    (nats / "templates").mkdir(parents=True)
    (nats / "Chart.yaml").write_text("{apiVersion: v2, name: nats, version: 1.3.0}")
    (nats / "templates" / "told.yaml").write_text("kind: Told\nvalues: {{ toYaml .Values | nindent 2 }}\n")
    return copy


def highly_available() -> JsonObject:
    """The values of `values-ha.yaml`."""
    values: JsonObject = yaml.safe_load((CHART / "values-ha.yaml").read_text())
    return values


def faults() -> list[str]:
    """What `helm lint --strict` says, with the default values and those for high availability."""
    return [
        message["error"]
        for values in ({}, highly_available())
        for message in helm_python.lint(CHART, values, strict=True, namespace=NAMESPACE)["messages"]
        if message["severity"] > INFO and message["error"] != NOT_FETCHED
    ]


def readme() -> str:
    """Its own text, which is kept, and the table of all values."""
    text, heading, _ = README.read_text().partition("## Values\n")
    table = [f"| `{key}` | `{json.dumps(default)}` | {meaning} |\n" for key, default, meaning in documented()]
    return "".join([text, heading, "\n| key | default | |\n|---|---|---|\n", *table])


def documented() -> Iterator[tuple[str, Any, str]]:
    """(key, default, meaning) of each value; a map with a meaning of its own is one value."""
    text = (CHART / "values.yaml").read_text()
    values = yaml.safe_load(text)
    path: list[str] = []
    meaning, whole = "", "-"
    for line in text.splitlines():
        words = line.lstrip()
        if words.startswith("# -- "):
            meaning = words.removeprefix("# -- ")
        elif key := re.match(r"\w+(?=:)", words):
            path[(len(line) - len(words)) // 2 :] = [key[0]]
            name, default = ".".join(path), functools.reduce(operator.getitem, path, values)
            if not name.startswith(whole) and (meaning or not isinstance(default, dict) or not default):
                yield name, default, meaning
                whole = f"{name}."
            meaning = ""
