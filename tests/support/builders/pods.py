"""Pods as people write them."""

from __future__ import annotations

import copy
from typing import Any

from sagamesh_jetstream.client.ports import JsonObject

RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "runAsUser": 1000,
    "seccompProfile": {"type": "RuntimeDefault"},
}
"""What Pod Security `restricted` wants of a container."""


def pod(
    *,
    name: str = "payments-1",
    participant: str | None = "payments",
    annotations: dict[str, str] | None = None,
    containers: list[JsonObject] | None = None,
    **spec: Any,
) -> JsonObject:
    """One of the participant `payments`, whose app listens on port 8080."""
    metadata: JsonObject = {"name": name}
    if participant is not None:
        metadata["labels"] = {"sagamesh.dev/participant": participant}
    if annotations is not None:
        metadata["annotations"] = annotations
    app = [app_container()] if containers is None else containers
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": copy.deepcopy(app), **spec}}


def app_container(name: str = "app", **fields: Any) -> JsonObject:
    ports = [{"containerPort": 8080}]
    return {"name": name, "image": "example.org/payments", "ports": ports, "securityContext": RESTRICTED, **fields}


def annotated(**values: str) -> dict[str, str]:
    """`app_port="1"` stands for the annotation `sagamesh.dev/app-port`."""
    return {f"sagamesh.dev/{name.replace('_', '-')}": value for name, value in values.items()}


MIB = 1024 * 1024

REFUSED: dict[str, tuple[JsonObject, str]] = {
    "our container's name": (pod(containers=[app_container(), app_container("sagamesh-sidecar")]), "container name"),
    "our name among the init containers": (pod(initContainers=[app_container("sagamesh-sidecar")]), "container name"),
    "our volume's name": (pod(volumes=[{"name": "sagamesh-state", "emptyDir": {}}]), "volume name sagamesh-state"),
    "the volume of NATS": (pod(volumes=[{"name": "sagamesh-nats", "emptyDir": {}}]), "volume name sagamesh-nats"),
    "hostNetwork": (pod(hostNetwork=True), "hostNetwork"),
    "the port of the API": (pod(containers=[app_container(ports=[{"containerPort": 3650}])]), "app uses port 3650"),
    "the port of the probes": (
        pod(containers=[app_container(), app_container("other", ports=[{"containerPort": 3651}])]),
        "other uses port 3651",
    ),
    "a participant that is no name": (pod(participant="Pay.ments"), "'Pay.ments'; it must be a DNS label"),
    "a participant without a name": (pod(participant=""), "''; it must be a DNS label"),
    "the app on a port of ours": (pod(annotations=annotated(app_port="3650")), "cannot listen on port 3650"),
    "an app port of words": (pod(annotations=annotated(app_port="http")), "'http'; it must be a whole number"),
    "an app port too high": (pod(annotations=annotated(app_port="65536")), "from 1 to 65535"),
    "an app port of zero": (pod(annotations=annotated(app_port="0")), "from 1 to 65535"),
    "no concurrency": (pod(annotations=annotated(concurrency="0")), "from 1 to 256"),
    "an unknown level": (pod(annotations=annotated(log_level="loud")), "debug, info, warning or error"),
    "cpu of nothing": (pod(annotations=annotated(cpu_request="0")), "a quantity above zero"),
    "cpu of words": (pod(annotations=annotated(cpu_request="much")), "a quantity above zero"),
    "memory below zero": (pod(annotations=annotated(memory_request="-1Mi")), "a quantity above zero"),
    "memory with a space": (pod(annotations=annotated(memory_limit="1 Gi")), "a quantity above zero"),
    "a request above the limit": (pod(annotations=annotated(memory_request="1Gi")), "more than its limit of 256Mi"),
    "perhaps native": (pod(annotations=annotated(native_sidecar="no")), "true or false"),
}
"""What must not run without a sidecar, and cannot have one; with words of the sentence that says so."""

GOOD: dict[str, JsonObject] = {
    "plain": pod(),
    "no port of the app": pod(containers=[app_container(ports=[])]),
    "a port by annotation": pod(annotations=annotated(app_port="9000"), containers=[app_container(ports=[])]),
    "environment of its own": pod(containers=[app_container(env=[{"name": "A", "value": "b"}])]),
    "a URL of its own": pod(containers=[app_container(env=[{"name": "SAGAMESH_URL", "value": "http://x"}])]),
    "two containers": pod(containers=[app_container(), app_container("proxy", ports=[{"containerPort": 1}])]),
    "init containers and volumes": pod(
        initContainers=[app_container("prepare")], volumes=[{"name": "data", "emptyDir": {}}]
    ),
    "annotations of others": pod(annotations={"example.org/a": "b"}),
    "marked, yet bare": pod(annotations={"sagamesh.dev/injected": "copied from somewhere"}),
    "every wish": pod(
        annotations=annotated(
            app_port="8081",
            concurrency="8",
            log_level="debug",
            cpu_request="50m",
            memory_request="100M",
            memory_limit="1Gi",
            native_sidecar="true",
        )
    ),
    "no native sidecar": pod(annotations=annotated(native_sidecar="false")),
    "a Job's": pod(restartPolicy="Never"),
    "large": pod(annotations={"example.org/blob": "x" * 200_000}, containers=[app_container(args=["x" * MIB])]),
}
