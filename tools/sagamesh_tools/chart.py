"""The chart as Helm renders it, and what is made of it: the manifests, and the table of values in its README.

`python -m sagamesh_tools.chart write` writes them; `check` fails where they differ, and where Helm finds fault with
the chart.
"""

from __future__ import annotations

import functools
import json
import operator
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import helm_python
import yaml

from sagamesh_jetstream.client.ports import JsonObject
from sagamesh_operator.crd import as_yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "sagamesh"
README = CHART / "README.md"
NAMESPACE = "sagamesh-system"
HEAD = "# Made by `make manifests` of charts/sagamesh.\n"
OF_HELM = ("app.kubernetes.io/managed-by", "helm.sh/chart", "helm.sh/resource-policy")
NOT_FETCHED = "chart directory is missing these dependencies: nats"  # it is not ours, so it is not in the repository


def render(values: Mapping[str, Any] | None = None, *, chart: Path = CHART, name: str = "sagamesh") -> list[JsonObject]:
    """All objects of a release, hooks included. Raises helm_python.HelmError for values that the chart refuses."""
    with helm_python.Chart.load(chart) as loaded:
        texts = loaded.render(dict(values or {}), name=name, namespace=NAMESPACE)
    found = [yaml.load_all(text, yaml.CSafeLoader) for path, text in sorted(texts.items()) if path.endswith(".yaml")]
    return [document for documents in found for document in documents if document]


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
        if message["severity"] > 1 and message["error"] != NOT_FETCHED
    ]


# -- what is made of it ---------------------------------------------------------------------------------------------


def made() -> dict[Path, str]:
    """The text of every file that is made of the chart."""
    objects = [plain(each) for each in render() if "helm.sh/hook" not in each["metadata"].get("annotations", {})]
    resources = [each for each in objects if each["kind"] == "CustomResourceDefinition"]
    others = [each for each in objects if each not in resources]
    return {
        ROOT / "manifests" / "crds.yaml": HEAD + joined(resources),
        ROOT / "manifests" / "install.yaml": HEAD + joined([namespace(), *others]),
        README: readme(),
    }


def plain(document: JsonObject) -> JsonObject:
    """The object without what only Helm reads: whoever applies it has no release."""
    template = document.get("spec", {}).get("template", {})
    for part in (each["metadata"] for each in (document, template) if "metadata" in each):
        for kind in part.keys() & {"labels", "annotations"}:
            part[kind] = {key: value for key, value in part[kind].items() if key not in OF_HELM}
            if not part[kind]:
                del part[kind]
    return document


def namespace() -> JsonObject:
    labels = {f"app.kubernetes.io/{key}": "sagamesh" for key in ("name", "instance", "part-of")}
    labels |= {"app.kubernetes.io/component": "namespace", "pod-security.kubernetes.io/enforce": "restricted"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}


def joined(documents: list[JsonObject]) -> str:
    return "---\n".join(map(as_yaml, documents))


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


def main(task: str) -> None:
    wrong = faults()
    for path, text in made().items():
        if task == "write":
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            wrong.append(f"{path.relative_to(ROOT)} is not what the chart says: run `make manifests`, and commit it.")
    sys.exit("\n".join(wrong) or 0)


if __name__ == "__main__":
    main(sys.argv[1])
