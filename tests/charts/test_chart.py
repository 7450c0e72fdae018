"""What the chart renders, with default values, few, many, and wrong ones."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml

from sagamesh_jetstream.client.ports import JsonObject
from sagamesh_operator import crd, settings
from sagamesh_sidecar import settings as sidecar_settings
from sagamesh_tools import chart, made
from sagamesh_tools.chart import CHART, NAMESPACE, ROOT, render

FEW: JsonObject = {
    "crds": {"enabled": False},
    "rbac": {"aggregateClusterRoles": False},
    "injector": {"enabled": False},
}
SWITCHES: JsonObject = {
    key: {"enabled": True}
    for key in ("highAvailability", "networkPolicy", "podMonitor", "serviceMonitor", "prometheusRule", "dashboards")
}
ALL: JsonObject = {
    **SWITCHES,
    "commonLabels": {"team": "payments"},
    "imagePullSecrets": [{"name": "registry"}],
    "nats": {"url": "tls://nats.example.com:4222", "auth": {"mode": "shared"}},
    "operator": {
        "installation": "eu-1",
        "podLabels": {"a": "b"},
        "podAnnotations": {"c": "d"},
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "control-plane", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "system-cluster-critical",
        "serviceAccount": {"annotations": {"e": "f"}},
    },
    "injector": {"certManager": {"enabled": True}},
}
VALUES: dict[str, JsonObject] = {"default": {}, "ha": chart.highly_available(), "minimal": FEW, "all": ALL}
CHANGING = {"app.kubernetes.io/version", "helm.sh/chart", "app.kubernetes.io/managed-by"}

every_way = pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)


def one(documents: list[JsonObject], kind: str, component: str = "") -> JsonObject:
    [found] = [
        each
        for each in documents
        if each["kind"] == kind and component in ("", each["metadata"]["labels"]["app.kubernetes.io/component"])
    ]
    return found


def pods(documents: list[JsonObject]) -> Iterator[JsonObject]:
    for each in documents:
        if each["kind"] == "Pod":
            yield each["spec"]
        elif "template" in each.get("spec", {}):
            yield each["spec"]["template"]["spec"]


def environment(documents: list[JsonObject], component: str) -> dict[str, str]:
    [container] = one(documents, "Deployment", component)["spec"]["template"]["spec"]["containers"]
    return {each["name"]: each["value"] for each in container["env"]}


# -- whatever the values ---------------------------------------------------------------------------------------------


@every_way
def test_every_container_is_restricted_and_has_its_share(values: JsonObject) -> None:
    found = list(pods(render(values)))
    assert found
    for pod in found:
        assert pod["securityContext"].items() >= {"runAsNonRoot": True, "runAsUser": 65532}.items()
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not pod.keys() & {"hostNetwork", "hostPID", "hostIPC"}
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}
            assert "memory" in container["resources"]["limits"]


@every_way
def test_every_object_has_the_recommended_labels(values: JsonObject) -> None:
    for document in render(values):
        labels = document["metadata"]["labels"]
        assert labels.keys() >= crd.LABELS.keys() | CHANGING | {"app.kubernetes.io/instance"}, document["kind"]
        assert values.get("commonLabels", {}).items() <= labels.items()


@every_way
def test_selectors_hold_nothing_that_changes(values: JsonObject) -> None:
    """A selector cannot be changed, so what it holds may not follow the version."""
    kept = {f"app.kubernetes.io/{key}" for key in ("name", "instance", "component")}
    documents = render(values)
    for document in documents:
        if document["kind"] == "Deployment":
            assert document["spec"]["selector"]["matchLabels"].keys() == kept
            assert document["spec"]["template"]["metadata"]["labels"].keys() >= kept
        if document["kind"] == "Service":
            assert document["spec"]["selector"].keys() == kept


@every_way
def test_two_renderings_are_identical(values: JsonObject) -> None:
    assert render(values) == render(values)


@every_way
def test_no_two_objects_are_the_same_and_all_stay_in_their_namespace(values: JsonObject) -> None:
    documents = render(values)
    names = [(each["kind"], each["metadata"]["name"]) for each in documents]
    assert len(set(names)) == len(names)
    assert {each["metadata"].get("namespace", NAMESPACE) for each in documents} == {NAMESPACE}


@every_way
def test_nobody_may_do_everything(values: JsonObject) -> None:
    for document in render(values):
        assert "*" not in json.dumps(document.get("rules", []))


def test_helm_finds_no_fault() -> None:
    assert chart.faults() == []


def test_what_is_made_of_the_chart_is_what_it_says() -> None:
    assert made.differences(file for file in made.files() if file.of == "chart") == []


# -- the resource, and rights ----------------------------------------------------------------------------------------


def test_the_resource_is_what_the_code_says_and_outlives_the_release() -> None:
    found = one(render(), "CustomResourceDefinition")
    assert found["spec"] == crd.resource()["spec"]
    assert found["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert "annotations" not in one(render({"crds": {"keep": False}}), "CustomResourceDefinition")["metadata"]
    assert "CustomResourceDefinition" not in {each["kind"] for each in render({"crds": {"enabled": False}})}


def test_the_injector_may_touch_its_own_and_nothing_else() -> None:
    documents = render()
    [own] = one(documents, "Role", "injector")["rules"]
    assert (own["resources"], own["verbs"]) == (["secrets"], ["get", "update"])
    assert own["resourceNames"] == [environment(documents, "injector")["SAGAMESH_CA_SECRET"]]
    secret = one(documents, "Secret")
    assert own["resourceNames"] == [secret["metadata"]["name"]]
    assert not secret.keys() & {"data", "stringData", "immutable"}  # what is said here would be taken back by upgrades
    events, webhook = one(documents, "ClusterRole", "injector")["rules"]
    assert (events["resources"], events["verbs"]) == (["events"], ["create", "patch"])
    assert webhook["verbs"] == ["get", "update"]
    assert webhook["resourceNames"] == [environment(documents, "injector")["SAGAMESH_WEBHOOK"]]


def test_rights_are_left_to_others() -> None:
    kinds = {each["kind"] for each in render({"rbac": {"create": False, "aggregateClusterRoles": False}})}
    assert not kinds & {"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"}


# -- operator and injector -------------------------------------------------------------------------------------------


def test_the_operator_takes_what_it_is_told() -> None:
    told = environment(render({"operator": {"installation": "eu-1", "logLevel": "debug"}}), "operator")
    found = settings.from_environment(told)
    assert (found.nats, found.installation) == ("nats://nats.nats.svc:4222", "eu-1")
    assert (found.http_port, found.log_level) == (8080, "debug")


def test_the_injector_is_told_who_it_is() -> None:
    documents = render()
    webhook = one(documents, "MutatingWebhookConfiguration")
    [service] = [each for each in documents if each["kind"] == "Service" and "injector" in each["metadata"]["name"]]
    assert environment(documents, "injector") == {
        "SAGAMESH_SIDECAR_IMAGE": "ghcr.io/sagamesh/sagamesh-sidecar:0.1.0",
        "SAGAMESH_NATS": "nats://nats.nats.svc:4222",
        "SAGAMESH_NATS_SECRET": "",
        "SAGAMESH_NATIVE_SIDECAR": "auto",
        "SAGAMESH_WEBHOOK_PORT": "10250",
        "SAGAMESH_HTTP_PORT": "8080",
        "SAGAMESH_NAMESPACE": NAMESPACE,
        "SAGAMESH_SERVICE": service["metadata"]["name"],
        "SAGAMESH_WEBHOOK": webhook["metadata"]["name"],
        "SAGAMESH_CA_SECRET": "sagamesh-injector-certificate",
        "SAGAMESH_LOG_LEVEL": "info",
    }


def test_the_webhook_is_asked_about_participants_only() -> None:
    [webhook] = one(render(), "MutatingWebhookConfiguration")["webhooks"]
    assert webhook["clientConfig"].keys() == {"service"}  # whoever makes the certificate keeps `caBundle`
    [outside] = webhook["namespaceSelector"]["matchExpressions"]
    assert (outside["operator"], outside["values"]) == ("NotIn", ["kube-system", NAMESPACE])
    assert webhook["objectSelector"]["matchExpressions"] == [{"key": "sagamesh.dev/participant", "operator": "Exists"}]
    assert webhook["matchConditions"]
    assert [rule["operations"] for rule in webhook["rules"]] == [["CREATE"]]
    assert (webhook["failurePolicy"], webhook["timeoutSeconds"]) == ("Fail", 5)
    assert (webhook["reinvocationPolicy"], webhook["sideEffects"]) == ("IfNeeded", "NoneOnDryRun")


def test_cert_manager_keeps_the_certificate() -> None:
    documents = render({"injector": {"certManager": {"enabled": True}}})
    certificate = one(documents, "Certificate")
    name = f"{NAMESPACE}/{certificate['metadata']['name']}"
    assert one(documents, "MutatingWebhookConfiguration")["metadata"]["annotations"] == {
        "cert-manager.io/inject-ca-from": name
    }
    [service] = [each for each in documents if each["kind"] == "Service" and "injector" in each["metadata"]["name"]]
    assert certificate["spec"]["dnsNames"] == [f"{service['metadata']['name']}.{NAMESPACE}.svc"]
    assert certificate["spec"]["issuerRef"]["name"] == one(documents, "Issuer")["metadata"]["name"]
    [mounted] = [
        each["secret"]
        for each in one(documents, "Deployment", "injector")["spec"]["template"]["spec"]["volumes"]
        if "secret" in each
    ]
    assert mounted["secretName"] == certificate["spec"]["secretName"]
    assert environment(documents, "injector")["SAGAMESH_CERTIFICATE_DIR"] == "/etc/sagamesh/certificate"
    assert not {each["kind"] for each in documents} & {"Role", "Secret"}
    [events] = one(documents, "ClusterRole", "injector")["rules"]
    assert events["resources"] == ["events"]


def test_cert_manager_may_use_another_issuer() -> None:
    documents = render(
        {"injector": {"certManager": {"enabled": True, "issuerName": "ca", "issuerKind": "ClusterIssuer"}}}
    )
    assert one(documents, "Certificate")["spec"]["issuerRef"] == {
        "group": "cert-manager.io",
        "kind": "ClusterIssuer",
        "name": "ca",
    }
    assert "Issuer" not in {each["kind"] for each in documents}


def test_two_injectors_stand_apart_and_are_not_evicted_at_once() -> None:
    file, switch = render(chart.highly_available()), render({"highAvailability": {"enabled": True}})
    assert file == switch
    spec = one(file, "Deployment", "injector")["spec"]
    assert spec["replicas"] == 2
    assert spec["template"]["spec"]["topologySpreadConstraints"]
    assert one(file, "PodDisruptionBudget")["spec"]["selector"] == spec["selector"]
    assert one(file, "Deployment", "operator")["spec"]["replicas"] == 1


def test_the_network_of_the_nodes_needs_another_port() -> None:
    with pytest.raises(helm_python.HelmRenderError, match=r"injector.port: 10250 is the kubelet's own"):
        render({"injector": {"hostNetwork": True}})
    spec = one(render({"injector": {"hostNetwork": True, "port": 9443}}), "Deployment", "injector")["spec"]
    assert spec["template"]["spec"]["hostNetwork"]


# -- NATS ------------------------------------------------------------------------------------------------------------


def test_a_shared_secret_reaches_everybody() -> None:
    documents = render({"nats": {"auth": {"mode": "shared", "secretName": "keys"}}})
    [volume] = one(documents, "Deployment", "operator")["spec"]["template"]["spec"]["volumes"]
    assert volume["secret"]["secretName"] == "keys"
    assert environment(documents, "operator")["SAGAMESH_NATS_DIR"] == "/etc/sagamesh/nats"
    assert environment(documents, "injector")["SAGAMESH_NATS_SECRET"] == "keys"


def test_nats_may_come_with_the_chart(tmp_path: Path) -> None:
    ours = chart.complete(tmp_path)
    assert "Told" not in {each["kind"] for each in render(chart=ours)}
    documents = render(chart.highly_available() | {"natsServer": {"enabled": True}}, chart=ours)
    [told_values] = [each["values"] for each in documents if each["kind"] == "Told"]
    assert told_values["config"]["jetstream"] == {"enabled": True, "merge": {"sync_interval": "always"}}
    for component in ("operator", "injector"):
        assert environment(documents, component)["SAGAMESH_NATS"] == f"nats://sagamesh-nats.{NAMESPACE}.svc:4222"


# -- the test of a release -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values", [{}, {"nats": {"auth": {"mode": "shared", "secretName": "keys"}}}], ids=["open", "shared"]
)
def test_the_test_s_pod_is_the_one_participant_of_its_saga(values: JsonObject) -> None:
    hooks = [each for each in render(values) if "helm.sh/hook" in each["metadata"].get("annotations", {})]
    pod, saga = one(hooks, "Pod"), one(hooks, "Saga")
    [container] = pod["spec"]["containers"]
    told = sidecar_settings.from_environment({each["name"]: each["value"] for each in container["env"]})
    assert {step["participant"] for step in saga["spec"]["steps"]} == {saga["spec"]["start"]["participant"]}
    assert (told.namespace, told.participant) == (NAMESPACE, saga["spec"]["start"]["participant"])
    assert told.nats == environment(render(values), "operator")["SAGAMESH_NATS"]
    mounted = {each["mountPath"] for each in container.get("volumeMounts", ())}
    assert mounted == ({told.nats_dir} if values else set())
    for each in hooks:
        assert each["metadata"]["annotations"]["helm.sh/hook"] == "test"
        policy = each["metadata"]["annotations"]["helm.sh/hook-delete-policy"]
        assert policy == "before-hook-creation,hook-succeeded"
    assert int(saga["metadata"]["annotations"]["helm.sh/hook-weight"]) < 0, "it is there before the pod"


# -- monitoring ------------------------------------------------------------------------------------------------------


def test_without_a_network_its_dependency_can_be_taken_out(tmp_path: Path) -> None:
    """By the line of docs/install.md, after which Helm misses nothing, and all else is as before."""
    copy = shutil.copytree(CHART, tmp_path / "charts" / "sagamesh")
    [command] = re.findall(r"`(sed .+ charts/sagamesh/Chart\.yaml)`", (ROOT / "docs" / "install.md").read_text())
    subprocess.run(command, shell=True, check=True, cwd=tmp_path)
    said = helm_python.lint(copy, {}, strict=True, namespace=NAMESPACE)["messages"]
    assert not any(message["severity"] > 1 for message in said), said
    assert render(chart=copy) == render()


def test_what_is_watched_is_off_until_it_is_wanted() -> None:
    extra = {each["kind"] for each in render(SWITCHES)} - {each["kind"] for each in render()}
    assert extra == {
        "PodDisruptionBudget",
        "NetworkPolicy",
        "PodMonitor",
        "ServiceMonitor",
        "PrometheusRule",
        "ConfigMap",
    }


@pytest.mark.parametrize("switch", ["podMonitor", "serviceMonitor", "prometheusRule"])
def test_monitors_are_found_by_labels(switch: str) -> None:
    documents = render({switch: {"enabled": True, "labels": {"release": "prometheus"}}})
    assert one(documents, switch[0].upper() + switch[1:])["metadata"]["labels"]["release"] == "prometheus"


def test_the_namespace_of_a_metric_is_the_sagas() -> None:
    """Prometheus would else rename it, in favour of the operator's own. Sidecars say none: theirs is their pod's."""
    documents = render({"podMonitor": {"enabled": True}, "serviceMonitor": {"enabled": True}})
    [operator] = one(documents, "ServiceMonitor")["spec"]["endpoints"]
    [sidecar] = one(documents, "PodMonitor")["spec"]["podMetricsEndpoints"]
    assert operator["honorLabels"]
    assert "honorLabels" not in sidecar  # or a tenant could speak for another one


def test_rules_and_dashboards_are_the_files() -> None:
    documents = render({"prometheusRule": {"enabled": True}, "dashboards": {"enabled": True}})
    assert one(documents, "PrometheusRule")["spec"] == yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())
    shown = [each for each in documents if each["kind"] == "ConfigMap"]
    assert {name: json.loads(text) for each in shown for name, text in each["data"].items()} == {
        path.name: json.loads(path.read_text()) for path in (CHART / "files" / "dashboards").glob("*.json")
    }
    assert all(each["metadata"]["labels"]["grafana_dashboard"] == "1" for each in shown)


def test_network_policies_name_their_ports() -> None:
    documents = render({"networkPolicy": {"enabled": True, "natsPorts": [4333]}})

    def ports(component: str, direction: str) -> set[object]:
        spec = one(documents, "NetworkPolicy", component)["spec"]
        return {port["port"] for rule in spec[direction] for port in rule["ports"]}

    assert ports("operator", "ingress") == {"http"}
    assert ports("operator", "egress") == {53, 443, 6443, 4333}
    assert ports("injector", "ingress") == {"http", "webhook"}
    assert ports("injector", "egress") == {53, 443, 6443}


# -- images and names ------------------------------------------------------------------------------------------------


def images(documents: list[JsonObject]) -> set[str]:
    used = {container["image"] for pod in pods(documents) for container in pod["containers"]}
    return used | {environment(documents, "injector")["SAGAMESH_SIDECAR_IMAGE"]}


def test_one_value_moves_every_image() -> None:
    found = images(render({"imageRegistry": "registry.example.com:5000"}))
    assert found == {
        f"registry.example.com:5000/sagamesh/sagamesh-{each}:0.1.0" for each in ("operator", "injector", "sidecar")
    }


def test_a_digest_takes_the_place_of_the_tag() -> None:
    digest = f"sha256:{'0' * 64}"
    values = {each: {"image": {"digest": digest, "tag": "1"}} for each in ("operator", "injector", "sidecar")}
    assert {image.partition("@")[2] for image in images(render(values))} == {digest}


@pytest.mark.parametrize(
    ("name", "values", "operator"),
    [
        ("sagamesh", {}, "sagamesh-operator"),
        ("prod", {}, "prod-sagamesh-operator"),
        ("prod", {"nameOverride": "mesh"}, "prod-mesh-operator"),
        ("prod", {"fullnameOverride": "mesh"}, "mesh-operator"),
        ("a" * 53, {}, f"{'a' * 40}-operator"),
    ],
)
def test_names_are_made_of_release_and_chart(name: str, values: JsonObject, operator: str) -> None:
    assert one(render(values, name=name), "Deployment", "operator")["metadata"]["name"] == operator


# -- wrong values ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"typo": 1}, "typo"),
        ({"operator": {"image": {"tagg": "1"}}}, "tagg"),
        ({"nats": {"url": "nats.nats.svc:4222"}}, "/nats/url"),
        ({"nats": {"auth": {"mode": "jwt"}}}, "/nats/auth/mode"),
        ({"injector": {"replicas": 0}}, "/injector/replicas"),
        ({"injector": {"image": {"digest": "latest"}}}, "/injector/image/digest"),
        ({"operator": {"logLevel": "trace"}}, "/operator/logLevel"),
        ({"sidecar": {"native": "no"}}, "/sidecar/native"),
    ],
)
def test_a_wrong_value_is_refused_by_name(values: JsonObject, complaint: str) -> None:
    with pytest.raises(helm_python.HelmError, match=re.escape(complaint)):
        render(values)


def test_the_schema_knows_every_value_and_no_other() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())

    def resolved(found: JsonObject) -> JsonObject:
        reference = found.get("$ref", "").removeprefix("#/definitions/")
        return schema["definitions"][reference] if reference else found

    def compare(found: JsonObject, value: Any, path: str) -> None:
        found = resolved(found)
        if "properties" not in found or path in (".natsServer", ".operator.affinity", ".injector.affinity"):
            return
        assert found["additionalProperties"] is False, path
        assert found["properties"].keys() - {"global"} == value.keys(), path
        for key in value:
            compare(found["properties"][key], value[key], f"{path}.{key}")

    compare(schema, values, "")
