"""The chart on a real API server: installed, upgraded, rolled back, uninstalled, and what it means for pods."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import helm_python
import pytest
import yaml

from sagamesh_operator.crd import CRD
from support import chart
from support.chart import NAMESPACE, ROOT, Document
from support.control_plane import ControlPlane

VALUES: dict[str, Document] = {
    "default": {},
    "ha": chart.highly_available(),
    "minimal": {
        "crds": {"enabled": False},
        "rbac": {"aggregateClusterRoles": False},
        "injector": {"enabled": False},
    },
}
SAGA = ROOT / "examples" / "02-create-order" / "saga.yaml"
LABEL = {"sagamesh.dev/participant": "orders"}


class Helm:
    """Helm as the administrator, for the release `sagamesh`."""

    def __init__(self, config: helm_python.Config, directory: Path) -> None:
        self.config = config
        self.chart = chart.complete(directory)

    def install(self, values: Document) -> Document:
        return self.config.install(self.chart, "sagamesh", values, create_namespace=True)

    def upgrade(self, values: Document) -> Document:
        return self.config.upgrade(self.chart, "sagamesh", values)

    def rollback(self) -> None:
        self.config.rollback("sagamesh")

    def uninstall(self) -> None:
        self.config.uninstall("sagamesh", ignore_not_found=True)


@pytest.fixture
def helm(empty_cluster: ControlPlane, tmp_path: Path) -> Iterator[Helm]:
    """The release is gone afterwards."""
    with helm_python.Config(kubeconfig_path=empty_cluster.kubeconfig("admin"), namespace=NAMESPACE) as config:
        helm = Helm(config, tmp_path)
        yield helm
        helm.uninstall()


def read(cluster: ControlPlane, kind: str, name: str) -> Document:
    """The object, or nothing."""
    found = cluster.kubectl("get", kind, name, "-n", NAMESPACE, "-o", "json", "--ignore-not-found").stdout
    document: Document = json.loads(found or "{}")
    return document


def log_level(cluster: ControlPlane) -> str:
    [container] = read(cluster, "deployment", "sagamesh-operator")["spec"]["template"]["spec"]["containers"]
    [level] = [each["value"] for each in container["env"] if each["name"] == "SAGAMESH_LOG_LEVEL"]
    return str(level)


def ca_bundle(cluster: ControlPlane) -> str:
    [webhook] = read(cluster, "mutatingwebhookconfiguration", "sagamesh-injector")["webhooks"]
    return str(webhook["clientConfig"].get("caBundle", ""))


def refusal(cluster: ControlPlane, pod: Document) -> str:
    """What the API server says against a pod; empty: nothing."""
    return cluster.kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(pod), check=False).stderr


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_a_release_lives_and_goes(empty_cluster: ControlPlane, helm: Helm, values: Document) -> None:
    assert helm.install(values)["status"] == "deployed"
    assert log_level(empty_cluster) == "info"
    upgraded = helm.upgrade(values | {"operator": {"logLevel": "debug"}})
    assert (upgraded["status"], upgraded["revision"]) == ("deployed", 2)
    assert log_level(empty_cluster) == "debug"
    helm.rollback()
    assert log_level(empty_cluster) == "info"
    assert [each["status"] for each in helm.config.history("sagamesh")] == ["superseded", "superseded", "deployed"]
    installed = [each for each in chart.render(values) if "annotations" not in each["metadata"]]
    assert all(read(empty_cluster, each["kind"], each["metadata"]["name"]) for each in installed)
    helm.uninstall()
    assert not any(read(empty_cluster, each["kind"], each["metadata"]["name"]) for each in installed)


def test_sagas_outlive_the_release(empty_cluster: ControlPlane, helm: Helm) -> None:
    helm.install({})
    empty_cluster.kubectl("wait", "--for=condition=Established", f"crd/{CRD}", "--timeout=30s")
    empty_cluster.kubectl("apply", "--server-side", "-f", SAGA)
    helm.uninstall()
    helm.install({})
    assert empty_cluster.kubectl("get", "-f", SAGA, "-o", "name").stdout == "saga.sagamesh.dev/create-order\n"


def test_what_the_injector_wrote_stays(empty_cluster: ControlPlane, helm: Helm) -> None:
    """A `caBundle` that an upgrade took away would refuse every pod until it is written again."""
    helm.install({})
    written = (ROOT / "manifests" / "crds.yaml").read_text()[:0] + "Q0E="
    patch = [{"op": "add", "path": "/webhooks/0/clientConfig/caBundle", "value": written}]
    empty_cluster.kubectl(
        "patch",
        "mutatingwebhookconfiguration",
        "sagamesh-injector",
        "--type=json",
        "-p",
        json.dumps(patch),
        check=False,
    )
    helm.upgrade({"injector": {"replicas": 3}})
    assert ca_bundle(empty_cluster) == written
    helm.rollback()
    assert ca_bundle(empty_cluster) == written


def test_without_an_injector_only_participants_are_refused(empty_cluster: ControlPlane, helm: Helm) -> None:
    helm.install({})

    def pod(namespace: str, labels: Document) -> Document:
        metadata = {"name": "web", "namespace": namespace, "labels": labels}
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": metadata,
            "spec": {"containers": [{"name": "web", "image": "web"}]},
        }

    elsewhere = empty_cluster.namespace()
    assert "injector.sagamesh.dev" in refusal(empty_cluster, pod(elsewhere, LABEL))
    assert refusal(empty_cluster, pod(elsewhere, {})) == ""
    for spared in (NAMESPACE, "kube-system"):
        assert refusal(empty_cluster, pod(spared, LABEL)) == ""


def test_its_pods_pass_the_restricted_standard(empty_cluster: ControlPlane) -> None:
    namespace = empty_cluster.namespace()
    empty_cluster.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    for document in chart.render(chart.highly_available()):
        if document["kind"] in ("Deployment", "Pod"):
            spec = document["spec"]["template"]["spec"] if document["kind"] == "Deployment" else document["spec"]
            name = document["metadata"]["name"]
            pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace}, "spec": spec}
            assert refusal(empty_cluster, pod) == ""


def test_without_helm_the_manifests_do(empty_cluster: ControlPlane, helm: Helm) -> None:
    files = ("-f", ROOT / "manifests" / "crds.yaml", "-f", ROOT / "manifests" / "install.yaml")
    empty_cluster.kubectl("apply", "--server-side", "--force-conflicts", "--validate=strict", *files)
    try:
        assert log_level(empty_cluster) == "info"
    finally:
        documents = yaml.safe_load_all(Path(files[3]).read_text())
        ours = [each for each in documents if each["kind"] != "Namespace"]  # which nothing here could end
        empty_cluster.kubectl("delete", "-f", "-", stdin=yaml.safe_dump_all(ours))
