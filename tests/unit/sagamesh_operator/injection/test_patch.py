"""What becomes of a pod: the patch, field by field, and the refusals, one by one."""

from __future__ import annotations

import base64
import copy
import json

import jsonpatch
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagamesh_jetstream.client.ports import JsonObject
from sagamesh_operator.injection.annotations import amount
from sagamesh_operator.injection.container import Installation
from sagamesh_operator.injection.patch import InjectionRefused, inject
from sagamesh_operator.injection.review import ReviewAnswer, Unreadable, answer
from support.builders.pods import GOOD, REFUSED, annotated, app_container, pod

PLAIN = Installation(image="example.org/sidecar:1", nats="nats://nats:4222")
SHARED = Installation(image="example.org/sidecar:1", nats="tls://nats:4222", nats_secret="nats-client", native=False)


def patched(document: JsonObject, installation: Installation = PLAIN) -> JsonObject:
    found = inject(document, "shop", installation)
    result: JsonObject = jsonpatch.apply_patch(document, found.patch)
    return result


def sidecar(document: JsonObject, installation: Installation = PLAIN) -> JsonObject:
    spec = patched(document, installation)["spec"]
    [found] = [c for c in [*spec.get("initContainers", ()), *spec["containers"]] if c["name"] == "sagamesh-sidecar"]
    return found


def environment(container: JsonObject) -> dict[str, str]:
    return {each["name"]: each["value"] for each in container.get("env", ()) if "value" in each}


@pytest.mark.parametrize(("document", "words"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_have_a_sidecar_is_refused_in_one_sentence(document: JsonObject, words: str) -> None:
    with pytest.raises(InjectionRefused) as refused:
        inject(document, "shop", PLAIN)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("installation", [PLAIN, SHARED], ids=["plain", "shared"])
@pytest.mark.parametrize("document", GOOD.values(), ids=GOOD)
def test_the_second_time_nothing_changes(document: JsonObject, installation: Installation) -> None:
    before = copy.deepcopy(document)
    once = patched(document, installation)
    assert document == before
    assert inject(once, "shop", installation)[:2] == ([], [])


@pytest.mark.parametrize("document", GOOD.values(), ids=GOOD)
def test_all_else_stays_as_it_is(document: JsonObject) -> None:
    """What we add is taken away again: what is left is what there was."""
    after = patched(document)
    spec, metadata = after["spec"], after["metadata"]
    for field in ("initContainers", "containers", "volumes"):
        spec[field] = [each for each in spec.get(field, ()) if not each["name"].startswith("sagamesh-")]
        if not spec[field] and field not in document["spec"]:
            del spec[field]
    for container, given_ in zip(spec["containers"], document["spec"]["containers"], strict=True):
        if "http://127.0.0.1:3650" in environment(container).values():
            assert container["env"].pop() == {"name": "SAGAMESH_URL", "value": "http://127.0.0.1:3650"}
            if "env" not in given_:
                del container["env"]
    metadata["annotations"].pop("sagamesh.dev/injected")
    given_annotations = dict(document["metadata"].get("annotations", {}))
    given_annotations.pop("sagamesh.dev/injected", None)
    assert metadata.pop("annotations") == given_annotations
    assert after == document | {"metadata": {k: v for k, v in document["metadata"].items() if k != "annotations"}}


def test_a_pod_that_does_not_take_part_is_left_alone() -> None:
    assert inject(pod(participant=None, hostNetwork=True), "shop", PLAIN)[:2] == ([], [])


def test_a_native_sidecar_is_the_first_init_container() -> None:
    spec = patched(pod(initContainers=[app_container("prepare")]))["spec"]
    assert [each["name"] for each in spec["initContainers"]] == ["sagamesh-sidecar", "prepare"]
    assert spec["initContainers"][0]["restartPolicy"] == "Always"
    assert [each["name"] for each in spec["containers"]] == ["app"]


@pytest.mark.parametrize(
    ("document", "installation"), [(pod(), SHARED), (pod(annotations=annotated(native_sidecar="false")), PLAIN)]
)
def test_one_that_is_not_native_is_the_last_container(document: JsonObject, installation: Installation) -> None:
    spec = patched(document, installation)["spec"]
    assert "initContainers" not in spec
    assert [each["name"] for each in spec["containers"]] == ["app", "sagamesh-sidecar"]
    assert "restartPolicy" not in spec["containers"][1]


def test_a_job_with_a_sidecar_that_is_not_native_is_warned() -> None:
    assert inject(pod(restartPolicy="Never"), "shop", PLAIN).warnings == []
    [warning] = inject(pod(restartPolicy="Never"), "shop", SHARED).warnings
    assert "no native one" in warning


def test_one_whose_restart_policy_was_taken_away_is_refused() -> None:
    after = patched(pod())
    del after["spec"]["initContainers"][0]["restartPolicy"]
    with pytest.raises(InjectionRefused, match="took restartPolicy: Always from the init container"):
        inject(after, "shop", PLAIN)


def test_a_sidecar_that_others_have_changed_is_still_ours() -> None:
    after = patched(pod())
    after["spec"]["initContainers"][0] |= {"terminationMessagePath": "/dev/termination-log", "image": "mirror/sidecar"}
    assert inject(after, "shop", PLAIN)[:2] == ([], [])


def test_every_field_of_the_sidecar() -> None:
    found = sidecar(pod())
    probe = {"periodSeconds": 1, "timeoutSeconds": 2, "failureThreshold": 120}
    assert found == {
        "name": "sagamesh-sidecar",
        "image": "example.org/sidecar:1",
        "command": ["sagamesh-sidecar"],
        "restartPolicy": "Always",
        "env": [
            {"name": "SAGAMESH_NAMESPACE", "value": "shop"},
            {"name": "SAGAMESH_PARTICIPANT", "value": "payments"},
            {"name": "SAGAMESH_NATS", "value": "nats://nats:4222"},
            {"name": "SAGAMESH_APP", "value": "http://127.0.0.1:8080"},
            {"name": "SAGAMESH_API_PORT", "value": "3650"},
            {"name": "SAGAMESH_HEALTH_PORT", "value": "3651"},
            {"name": "SAGAMESH_STATE_DIR", "value": "/var/lib/sagamesh"},
            {"name": "SAGAMESH_POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        ],
        "ports": [{"name": "sagamesh-health", "containerPort": 3651, "protocol": "TCP"}],
        "startupProbe": {"httpGet": {"path": "/startupz", "port": 3651, "scheme": "HTTP"}, **probe},
        "livenessProbe": {
            "httpGet": {"path": "/livez", "port": 3651, "scheme": "HTTP"},
            "periodSeconds": 10,
            "timeoutSeconds": 2,
            "failureThreshold": 3,
        },
        "lifecycle": {"preStop": {"exec": {"command": ["sagamesh-sidecar", "drain"]}}},
        "resources": {"requests": {"cpu": "20m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsGroup": 65532,
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": [{"name": "sagamesh-state", "mountPath": "/var/lib/sagamesh"}],
    }


def test_credentials_of_nats_are_a_secret_of_the_pods_own_namespace() -> None:
    assert environment(sidecar(pod(), SHARED))["SAGAMESH_NATS_DIR"] == "/etc/sagamesh/nats"
    mount = {"name": "sagamesh-nats", "mountPath": "/etc/sagamesh/nats", "readOnly": True}
    assert mount in sidecar(pod(), SHARED)["volumeMounts"]
    volumes = patched(pod(), SHARED)["spec"]["volumes"]
    state = {"name": "sagamesh-state", "emptyDir": {}}
    assert volumes == [state, {"name": "sagamesh-nats", "secret": {"secretName": "nats-client"}}]
    assert patched(pod())["spec"]["volumes"] == [state]


def test_every_annotation_is_heard() -> None:
    found = sidecar(GOOD["every wish"])
    heard = environment(found)
    assert heard["SAGAMESH_APP"] == "http://127.0.0.1:8081"
    assert heard["SAGAMESH_CONCURRENCY"] == "8"
    assert heard["SAGAMESH_LOG_LEVEL"] == "debug"
    assert found["resources"] == {"requests": {"cpu": "50m", "memory": "100M"}, "limits": {"memory": "1Gi"}}


def test_without_a_port_the_sidecar_has_no_app_and_whoever_made_the_pod_is_told() -> None:
    assert "SAGAMESH_APP" not in environment(sidecar(GOOD["no port of the app"]))
    [warning] = inject(GOOD["no port of the app"], "shop", PLAIN).warnings
    assert warning.startswith("the sidecar calls no app")


def test_the_container_that_kubectl_takes_is_the_app() -> None:
    proxied = pod(
        annotations={"kubectl.kubernetes.io/default-container": "app"},
        containers=[app_container("front", ports=[{"containerPort": 4143}]), app_container()],
    )
    assert environment(sidecar(proxied))["SAGAMESH_APP"] == "http://127.0.0.1:8080"


def test_an_annotation_that_nobody_knows_is_warned_of() -> None:
    [warning] = inject(pod(annotations=annotated(app_prot="9000")), "shop", PLAIN).warnings
    assert warning.startswith("the annotation sagamesh.dev/app-prot is not known; there are app-port, ")
    assert len(warning) < 256, "the API server cuts what is longer"


def test_the_app_is_told_where_the_sidecar_is_unless_it_says_so_itself() -> None:
    containers = patched(GOOD["two containers"])["spec"]["containers"]
    assert [environment(each) for each in containers] == [{"SAGAMESH_URL": "http://127.0.0.1:3650"}] * 2
    [app] = patched(GOOD["a URL of its own"])["spec"]["containers"]
    assert environment(app) == {"SAGAMESH_URL": "http://x"}


@pytest.mark.parametrize(
    ("text", "number"), [("1", "1"), ("100m", "0.1"), ("1.5k", "1500"), ("1Ki", "1024"), ("1Gi", "1073741824")]
)
def test_a_quantity_is_a_number(text: str, number: str) -> None:
    assert str(amount(text).normalize().to_eng_string()) == str(amount(number).normalize().to_eng_string())


# -- any pod at all --------------------------------------------------------------------------------------------------

NAMES = st.sampled_from(["app", "a", "b", "sagamesh-sidecar", "sagamesh-state", "sagamesh-nats", "data"])
VALUES = st.sampled_from(["1", "3650", "8080", "true", "false", "64Mi", "", "debug", "1Gi"])
WISHES = ("app-port", "concurrency", "log-level", "memory-limit", "native-sidecar", "injected", "x")
ANNOTATIONS = st.dictionaries(st.sampled_from([f"sagamesh.dev/{name}" for name in WISHES]), VALUES, max_size=3)
PORTS = st.lists(st.fixed_dictionaries({"containerPort": st.sampled_from([80, 8080, 3650, 3651])}), max_size=2)
VARIABLES = st.lists(st.fixed_dictionaries({"name": st.sampled_from(["A", "SAGAMESH_URL"])}), max_size=2)
CONTAINER = st.fixed_dictionaries(
    {"name": NAMES, "image": st.just("x")}, optional={"ports": PORTS | st.none(), "env": VARIABLES | st.none()}
)
VOLUME = st.fixed_dictionaries({"name": NAMES, "emptyDir": st.just({})})
SPEC = st.fixed_dictionaries(
    {"containers": st.lists(CONTAINER, min_size=1, max_size=3)},
    optional={
        "initContainers": st.lists(CONTAINER, max_size=2) | st.none(),
        "volumes": st.lists(VOLUME, max_size=2) | st.none(),
        "hostNetwork": st.booleans(),
        "restartPolicy": st.sampled_from(["Always", "Never"]),
    },
)
METADATA = st.fixed_dictionaries(
    {"labels": st.just({"sagamesh.dev/participant": "payments"})}, optional={"annotations": ANNOTATIONS | st.none()}
)


@settings(max_examples=400)
@given(st.fixed_dictionaries({"metadata": METADATA, "spec": SPEC}), st.sampled_from([PLAIN, SHARED]))
def test_any_pod_is_refused_or_has_one_sidecar_for_good(document: JsonObject, installation: Installation) -> None:
    try:
        once = patched(document, installation)
    except InjectionRefused:
        return
    names = [each["name"] for field in ("initContainers", "containers") for each in once["spec"].get(field) or ()]
    assert names.count("sagamesh-sidecar") == 1 or "sagamesh.dev/injected" in (document["metadata"]["annotations"])
    assert inject(once, "shop", installation).patch == []


# -- reviews ---------------------------------------------------------------------------------------------------------


JOB = {"apiVersion": "batch/v1", "kind": "Job", "name": "nightly-29", "uid": "u-9", "controller": True}


def made(document: JsonObject, *owners: JsonObject) -> JsonObject:
    return document | {"metadata": document["metadata"] | {"ownerReferences": list(owners)}}


def review(document: JsonObject, **fields: object) -> bytes:
    kind = {"group": "", "version": "v1", "kind": "Pod"}
    asked = {"uid": "u1", "kind": kind, "operation": "CREATE", "namespace": "shop", "object": document, **fields}
    return json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": asked}).encode()


def response(found: ReviewAnswer) -> JsonObject:
    assert found.review["apiVersion"] == "admission.k8s.io/v1"
    assert found.review["kind"] == "AdmissionReview"
    told: JsonObject = found.review["response"]
    assert told["uid"] == "u1"
    return told


def test_a_review_is_answered_with_the_patch() -> None:
    found = answer(review(pod()), PLAIN)
    told = response(found)
    assert (found.result, told["allowed"], told["patchType"]) == ("injected", True, "JSONPatch")
    assert json.loads(base64.b64decode(told["patch"])) == inject(pod(), "shop", PLAIN).patch
    assert "warnings" not in told


def test_the_namespace_is_that_of_the_review() -> None:
    told = response(answer(review(pod(), namespace="warehouse"), PLAIN))
    assert "warehouse" in base64.b64decode(told["patch"]).decode()


def test_a_refusal_says_why() -> None:
    found = answer(review(pod(hostNetwork=True)), PLAIN)
    told = response(found)
    assert (found.result, told["allowed"]) == ("refused", False)
    assert told["status"]["message"] == found.why
    assert told["status"]["code"] == 403


def test_warnings_are_passed_on() -> None:
    told = response(answer(review(pod(annotations=annotated(x="y"))), PLAIN))
    assert len(told["warnings"]) == 1


@pytest.mark.parametrize(
    ("document", "kind", "reason", "words"),
    [
        (pod(), "Normal", "SidecarInjected", "was put into a pod, and calls port 8080 of app"),
        (pod(annotations=annotated(app_port="9")), "Normal", "SidecarInjected", "was put into a pod, and calls port 9"),
        (
            GOOD["no port of the app"],
            "Warning",
            "SidecarInjected",
            "was put into a pod, and calls no app; the sidecar calls no",
        ),
        (pod(hostNetwork=True), "Warning", "SidecarRefused", "a pod was refused: a pod with hostNetwork cannot"),
    ],
    ids=["injected", "annotated", "warned", "refused"],
)
def test_whoever_made_the_pod_is_told(document: JsonObject, kind: str, reason: str, words: str) -> None:
    found = answer(review(made(document, JOB | {"controller": False, "name": "other"}, JOB)), PLAIN).remark
    assert found
    assert found.maker == {key: JOB[key] for key in JOB if key != "controller"} | {"namespace": "shop"}
    assert found.note[:2] == (kind, reason)
    assert words in found.note.message
    assert "payments-1" not in found.note.message, "all pods of a maker are told alike"


@pytest.mark.parametrize(
    "body",
    [
        review(pod()),
        review(made(pod(), JOB), dryRun=True),
        review(made(pod(), JOB | {"controller": False})),
        review(made(pod(), {"controller": True})),
        review(made(pod(), JOB), operation="UPDATE"),
    ],
    ids=["a person's", "a trial", "no controller", "an owner that is none", "no new pod"],
)
def test_of_others_nothing_is_told(body: bytes) -> None:
    assert answer(body, PLAIN).remark is None


def test_the_second_time_nothing_is_told() -> None:
    assert answer(review(made(patched(pod()), JOB)), PLAIN).remark is None


@pytest.mark.parametrize("other", [{"operation": "UPDATE"}, {"kind": {"kind": "Service"}}], ids=["update", "service"])
def test_what_is_no_new_pod_is_allowed_as_it_is(other: JsonObject) -> None:
    allowed_as_it_is(review(pod(), **other))


def test_a_pod_that_has_its_sidecar_is_allowed_as_it_is() -> None:
    allowed_as_it_is(review(patched(pod())))


def allowed_as_it_is(body: bytes) -> None:
    given = answer(body, PLAIN)
    assert (given.result, response(given)) == ("unchanged", {"uid": "u1", "allowed": True})


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{}", b'{"request": {}}', review({"metadata": {}}), b"\xff"])
def test_what_is_no_review_is_a_bad_request(body: bytes) -> None:
    if body == review({"metadata": {}}):
        body = body.replace(b'"metadata": {}', b'"metadata": {"labels": {"sagamesh.dev/participant": "p"}}')
    with pytest.raises(Unreadable):
        answer(body, PLAIN)
