"""What the injected sidecar looks like in a Pod: its container and its volumes. It passes Pod Security `restricted`."""

from __future__ import annotations

from dataclasses import dataclass

from sagamesh_jetstream.client.ports import JsonObject
from sagamesh_operator.injection.annotations import Wishes

NAME = "sagamesh-sidecar"
STATE_VOLUME, NATS_VOLUME = "sagamesh-state", "sagamesh-nats"
API_PORT, HEALTH_PORT = 3650, 3651
"""The defaults of the sidecar's own settings."""
STATE_DIR, NATS_DIR = "/var/lib/sagamesh", "/etc/sagamesh/nats"
URL_VARIABLE = "SAGAMESH_URL"
"""What the app's containers are told: where the sidecar's API is."""
USER = 65532
"""As in the image: the custom for somebody who has no rights."""
STARTUP_SECONDS = 120
"""How long the app's start may be held back: the sidecar is there in one or two, but where a node has just begun."""
PROBE_TIMEOUT_SECONDS = 2
"""The default of one is too short on a node whose CPU is taken."""
LIVENESS_SECONDS, LIVENESS_FAILURES = 10, 3
"""Kubernetes' own defaults: half a minute of silence, and the sidecar is started again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """What all sidecars of an installation have in common.

    `nats_secret`: a Secret in the Pod's own namespace, with what NATS wants to see; empty: it wants nothing.
    `native`: whether the cluster knows native sidecars, as Kubernetes does from 1.29 on.
    """

    image: str
    nats: str
    nats_secret: str = ""
    native: bool = True


def container(
    installation: Installation, asked: Wishes, namespace: str, participant: str, app_port: int | None
) -> JsonObject:
    """The sidecar's container; a native one has `restartPolicy: Always` besides. `app_port`: None: it calls no app."""
    mounts: list[JsonObject] = [{"name": STATE_VOLUME, "mountPath": STATE_DIR}]
    if installation.nats_secret:
        mounts.append({"name": NATS_VOLUME, "mountPath": NATS_DIR, "readOnly": True})
    return {
        "name": NAME,
        "image": installation.image,
        "command": ["sagamesh-sidecar"],
        "env": _environment(installation, asked, namespace, participant, app_port),
        "ports": [{"name": "sagamesh-health", "containerPort": HEALTH_PORT, "protocol": "TCP"}],
        "startupProbe": _probe("/startupz", period=1, failures=STARTUP_SECONDS),
        "livenessProbe": _probe("/livez", period=LIVENESS_SECONDS, failures=LIVENESS_FAILURES),
        "lifecycle": {"preStop": {"exec": {"command": ["sagamesh-sidecar", "drain"]}}},
        "resources": {
            "requests": {"cpu": asked.cpu_request, "memory": asked.memory_request},
            "limits": {"memory": asked.memory_limit},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsGroup": USER,
            "runAsNonRoot": True,
            "runAsUser": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": mounts,
    }


def volumes(installation: Installation) -> list[JsonObject]:
    wanted: list[JsonObject] = [{"name": STATE_VOLUME, "emptyDir": {}}]
    if installation.nats_secret:
        wanted.append({"name": NATS_VOLUME, "secret": {"secretName": installation.nats_secret}})
    return wanted


def _environment(
    installation: Installation, asked: Wishes, namespace: str, participant: str, app_port: int | None
) -> list[JsonObject]:
    values = {
        "NAMESPACE": namespace,
        "PARTICIPANT": participant,
        "NATS": installation.nats,
        "APP": None if app_port is None else f"http://127.0.0.1:{app_port}",
        # Not the defaults alone: a Service named `sagamesh-api` would set the first of them to a URL.
        "API_PORT": str(API_PORT),
        "HEALTH_PORT": str(HEALTH_PORT),
        "STATE_DIR": STATE_DIR,
        "NATS_DIR": NATS_DIR if installation.nats_secret else None,
        "CONCURRENCY": None if asked.concurrency is None else str(asked.concurrency),
        "LOG_LEVEL": asked.log_level,
    }
    pod = {"name": "SAGAMESH_POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
    return [*({"name": f"SAGAMESH_{key}", "value": value} for key, value in values.items() if value is not None), pod]


def _probe(path: str, period: int, failures: int) -> JsonObject:
    """Neither probe looks at the app: it may be waiting for the sidecar."""
    where = {"path": path, "port": HEALTH_PORT, "scheme": "HTTP"}
    return {
        "httpGet": where,
        "periodSeconds": period,
        "timeoutSeconds": PROBE_TIMEOUT_SECONDS,
        "failureThreshold": failures,
    }
