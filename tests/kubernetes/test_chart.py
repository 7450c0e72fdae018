"""The chart on a real API server: installed, upgraded, rolled back, uninstalled, and what it means for pods."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import helm_python
import pytest
import yaml

from sagamesh.api_group import CRD
from sagamesh_jetstream.client.ports import JsonObject
from sagamesh_operator.adapters import kubernetes
from sagamesh_operator.injection.certificate_store import Keeper
from sagamesh_operator.injection.certificates import Schedule
from sagamesh_operator.ports import ClusterUnavailable
from sagamesh_tools import chart
from sagamesh_tools.chart import NAMESPACE, ROOT
from support.processes.injecting import NAME, SECRET
from support.servers.control_plane import ControlPlane, until

VALUES: dict[str, JsonObject] = {
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

    def install(self, values: JsonObject) -> JsonObject:
        return self.config.install(self.chart, "sagamesh", values, create_namespace=True)

    def upgrade(self, values: JsonObject) -> JsonObject:
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


def read(cluster: ControlPlane, kind: str, name: str) -> JsonObject:
    """The object, or nothing."""
    found = cluster.kubectl("get", kind, name, "-n", NAMESPACE, "-o", "json", "--ignore-not-found").stdout
    document: JsonObject = json.loads(found or "{}")
    return document


def log_level(cluster: ControlPlane) -> str:
    [container] = read(cluster, "deployment", "sagamesh-operator")["spec"]["template"]["spec"]["containers"]
    [level] = [each["value"] for each in container["env"] if each["name"] == "SAGAMESH_LOG_LEVEL"]
    return str(level)


def ca_bundle(cluster: ControlPlane) -> str:
    [webhook] = read(cluster, "mutatingwebhookconfiguration", NAME)["webhooks"]
    return str(webhook["clientConfig"].get("caBundle", ""))


def keep_certificates(cluster: ControlPlane) -> None:
    """As the injector does, with the rights that were installed: the API server learns of them a moment later."""

    async def look() -> None:
        async with kubernetes.connect(str(cluster.kubeconfig("injector"))) as api:
            name = f"{NAME}.{NAMESPACE}.svc"
            keeper = Keeper(api, namespace=NAMESPACE, secret=SECRET, webhook=NAME, name=name, schedule=Schedule())
            await keeper.look(datetime.now(UTC))

    def kept() -> bool:
        with contextlib.suppress(ClusterUnavailable):
            asyncio.run(look())
            return True
        return False

    until(kept)


def written(cluster: ControlPlane) -> tuple[JsonObject, str]:
    """What the injector has written: the data of its Secret, and the `caBundle`."""
    return read(cluster, "secret", SECRET).get("data", {}), ca_bundle(cluster)


def refusal(cluster: ControlPlane, pod: JsonObject) -> str:
    """What the API server says against a pod; empty: nothing."""
    return cluster.kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(pod), check=False).stderr


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_a_release_lives_and_goes(empty_cluster: ControlPlane, helm: Helm, values: JsonObject) -> None:
    assert helm.install(values)["status"] == "deployed"
    assert log_level(empty_cluster) == "info"
    upgraded = helm.upgrade(values | {"operator": {"logLevel": "debug"}})
    assert (upgraded["status"], upgraded["revision"]) == ("deployed", 2)
    assert log_level(empty_cluster) == "debug"
    helm.rollback()
    assert log_level(empty_cluster) == "info"
    assert [each["status"] for each in helm.config.history("sagamesh")] == ["superseded", "superseded", "deployed"]
    for hook in (each for each in chart.render(values) if "helm.sh/hook" in each["metadata"].get("annotations", {})):
        if hook["kind"] != "Saga" or "crds" not in values:
            assert refusal(empty_cluster, hook) == "", "what `helm test` creates, if it is asked to"
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
    """What an upgrade took away would refuse every pod until it is written again."""
    helm.install({})
    assert written(empty_cluster) == ({}, "")
    keep_certificates(empty_cluster)
    before = written(empty_cluster)
    assert before[0].keys() == {"ca.crt", "tls.crt", "tls.key"}
    assert before[1] == before[0]["ca.crt"]
    helm.upgrade({"injector": {"replicas": 3}, "commonLabels": {"team": "payments"}})
    assert read(empty_cluster, "secret", SECRET)["metadata"]["labels"]["team"] == "payments"
    assert written(empty_cluster) == before
    helm.rollback()
    assert "team" not in read(empty_cluster, "secret", SECRET)["metadata"]["labels"]
    assert written(empty_cluster) == before
    empty_cluster.kubectl("delete", "secret", SECRET, "-n", NAMESPACE)
    helm.upgrade({})
    keep_certificates(empty_cluster)
    assert written(empty_cluster)[1] != before[1]


def test_without_an_injector_only_participants_are_refused(empty_cluster: ControlPlane, helm: Helm) -> None:
    helm.install({})

    def pod(namespace: str, labels: JsonObject) -> JsonObject:
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
    server_side = ("apply", "--server-side", "--validate=strict")
    empty_cluster.kubectl(*server_side, "--force-conflicts", *files)  # with the resource that Helm has left
    try:
        assert log_level(empty_cluster) == "info"
        keep_certificates(empty_cluster)
        before = written(empty_cluster)
        assert all(before)
        for way in (server_side, ("apply",), ("apply",)):
            empty_cluster.kubectl(*way, "-f", ROOT / "manifests" / "install.yaml")
            assert written(empty_cluster) == before
    finally:
        documents = yaml.safe_load_all(Path(files[3]).read_text())
        ours = [each for each in documents if each["kind"] != "Namespace"]  # which nothing here could end
        empty_cluster.kubectl("delete", "-f", "-", stdin=yaml.safe_dump_all(ours))
