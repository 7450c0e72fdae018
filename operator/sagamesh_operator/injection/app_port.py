"""On which port does the app of a Pod listen? What the Pod says of it, and what is guessed where it does not. Pure.

In this order: the annotation; the container that `kubectl` takes for the Pod's own; the first that is no known proxy.
Of a container's ports those of TCP count, and one whose name says HTTP comes first. Nothing is looked for in further
containers: whoever calls an exporter of metrics instead of the app does harm, and whoever calls nobody is told so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sagamesh.api_group import APP_PORT_ANNOTATION
from sagamesh.text import listed
from sagamesh_jetstream.client.ports import JsonObject

DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"
"""Kubernetes' own annotation for the container that people mean when they name none."""
PROXIES = frozenset(
    {
        "cloud-sql-proxy",
        "cloudsql-proxy",
        "consul-dataplane",
        "daprd",
        "envoy",
        "istio-proxy",
        "kuma-sidecar",
        "linkerd-proxy",
        "oauth2-proxy",
        "vault-agent",
    }
)
"""Containers that others inject, or that stand before an app, by the names that their projects give them."""


class AppPort(NamedTuple):
    """`port`: None: nothing says where an app listens. `container`: whose port it is, if it is not the annotation's.

    `warnings`: what was guessed, for whoever made the Pod.
    """

    port: int | None
    container: str = ""
    warnings: tuple[str, ...] = ()


def app_port(spec: Mapping[str, Any], annotations: Mapping[str, str], asked: int | None) -> AppPort:
    """Where the sidecar calls the app. `asked`: what our own annotation says."""
    if asked is not None:
        return AppPort(asked)
    candidates, warnings = _candidates(spec["containers"], annotations.get(DEFAULT_CONTAINER))
    app = candidates[0]
    ports = _ports(app)
    if not ports:
        nobody = (
            f"the sidecar calls no app, for the container {app['name']} names no TCP port; "
            f"where it has steps to do, annotate the pod with {APP_PORT_ANNOTATION}"
        )
        return AppPort(None, warnings=(*warnings, nobody))
    number: int = min(ports, key=_rank)["containerPort"]  # of equals the first
    others = [f"{each['name']} {port['containerPort']}" for each in candidates for port in _ports(each)]
    if len(others) > 1:
        others.remove(f"{app['name']} {number}")
        warnings.append(
            f"the sidecar calls port {number} of the container {app['name']}; annotate the pod with "
            f'{APP_PORT_ANNOTATION}: "{number}" if that is the app, which could also be at {listed(others, 2)}'
        )
    return AppPort(number, app["name"], tuple(warnings))


def _candidates(containers: Sequence[JsonObject], default: str | None) -> tuple[list[JsonObject], list[str]]:
    """Which containers may be the app, the likeliest first, at least one; and what is to be warned of."""
    if named := [each for each in containers if each["name"] == default]:
        return named, []
    warnings = [f"{DEFAULT_CONTAINER} names {default!r}, which is no container of the pod"] if default else []
    return [each for each in containers if each["name"] not in PROXIES] or [*containers], warnings


def _ports(container: JsonObject) -> list[JsonObject]:
    return [port for port in container.get("ports") or () if port.get("protocol") in (None, "TCP")]


def _rank(port: JsonObject) -> tuple[bool, bool]:
    """How unlikely it is that HTTP is served there, by its name; an app that speaks TLS cannot be called."""
    name = str(port.get("name"))
    return name != "http", not name.startswith("http") or name.startswith("https")
