"""`manifests/crds.yaml` and `manifests/install.yaml`: the chart as it is by default, for whoever has no Helm."""

from __future__ import annotations

from sagamesh_jetstream.client.ports import JsonObject
from sagamesh_tools.chart import NAMESPACE, render
from sagamesh_tools.resource_file import as_yaml

HEAD = "# Made by `make manifests` of charts/sagamesh.\n"
OF_HELM = ("app.kubernetes.io/managed-by", "helm.sh/chart", "helm.sh/resource-policy")


def texts() -> dict[str, str]:
    """The files by their names."""
    objects = [plain(each) for each in render() if "helm.sh/hook" not in each["metadata"].get("annotations", {})]
    resources = [each for each in objects if each["kind"] == "CustomResourceDefinition"]
    others = [each for each in objects if each not in resources]
    return {"crds.yaml": HEAD + joined(resources), "install.yaml": HEAD + joined([namespace(), *others])}


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
