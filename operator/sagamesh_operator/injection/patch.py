"""What becomes of a Pod that takes part in sagas: a sidecar, as a JSON patch, or a refusal in one sentence.

Pure. How a review of the API server is read and answered is `review`'s; what the sidecar looks like is `container`'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from sagamesh.api_group import PARTICIPANT, PREFIX
from sagamesh.errors import SagameshError
from sagamesh.text import is_label
from sagamesh_jetstream.client.ports import JsonObject
from sagamesh_operator.injection.annotations import Wishes, wishes
from sagamesh_operator.injection.app_port import AppPort, app_port
from sagamesh_operator.injection.container import (
    API_PORT,
    HEALTH_PORT,
    NAME,
    NATS_VOLUME,
    STATE_VOLUME,
    URL_VARIABLE,
    Installation,
    container,
    volumes,
)

INJECTED = f"{PREFIX}injected"
"""The annotation that marks a Pod which has our sidecar; its value is the image."""
VOLUMES = (STATE_VOLUME, NATS_VOLUME)


class InjectionRefused(SagameshError):  # noqa: N818 - an answer: the sentence is shown to whoever made the Pod
    """The Pod cannot have a sidecar, and must not run without one."""


class Injection(NamedTuple):
    """`patch`: JSON patch (RFC 6902); empty: there is nothing to do. `warnings`: sentences for whoever made the Pod.

    `app`: where the sidecar will call the app.
    """

    patch: list[JsonObject]
    warnings: list[str]
    app: AppPort = AppPort(None)


def inject(pod: Mapping[str, Any], namespace: str, installation: Installation) -> Injection:
    """The sidecar of a Pod that is being created in `namespace`. Raises InjectionRefused.

    Idempotent: of a Pod that has it, nothing is changed. Whatever else stands in the Pod stays as it is.
    """
    metadata = pod.get("metadata") or {}
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    if PARTICIPANT not in labels:
        return Injection([], [])
    spec = pod["spec"]
    if INJECTED in annotations and any(each["name"] == NAME for each in _containers(spec)):
        _still_whole(spec)
        return Injection([], [])
    _check_room(spec)
    asked, warnings = _wishes(annotations)
    native = installation.native and asked.native
    if not native and spec.get("restartPolicy", "Always") != "Always":
        warnings.append("the sidecar of this pod is no native one: it goes on when the pod's own containers have ended")
    app = app_port(spec, annotations, asked.app_port)
    if app.port in (API_PORT, HEALTH_PORT):
        raise InjectionRefused(
            f"the app cannot listen on port {app.port}: {API_PORT} and {HEALTH_PORT} are the sidecar's"
        )
    sidecar = container(installation, asked, namespace, _participant(labels), app.port)
    return Injection(list(_patch(pod, sidecar, installation, native)), [*warnings, *app.warnings], app)


def _patch(
    pod: Mapping[str, Any], sidecar: JsonObject, installation: Installation, native: bool
) -> Iterator[JsonObject]:
    spec = pod["spec"]
    for number, each in enumerate(spec["containers"]):
        if all(variable["name"] != URL_VARIABLE for variable in each.get("env") or ()):
            variable = {"name": URL_VARIABLE, "value": f"http://127.0.0.1:{API_PORT}"}
            yield _listed(f"/spec/containers/{number}/env", each.get("env"), variable)
    if native:  # first of all, so that later init containers are served, and its end comes last
        yield _listed("/spec/initContainers", spec.get("initContainers"), sidecar | {"restartPolicy": "Always"}, "0")
    else:
        yield _listed("/spec/containers", spec["containers"], sidecar)
    held = spec.get("volumes")
    for volume in volumes(installation):
        yield _listed("/spec/volumes", held, volume)
        held = [*(held or ()), volume]
    if not pod["metadata"].get("annotations"):
        yield {"op": "add", "path": "/metadata/annotations", "value": {}}
    path = f"/metadata/annotations/{INJECTED.replace('/', '~1')}"
    yield {"op": "add", "path": path, "value": installation.image}


def _listed(path: str, held: Any, value: object, place: str = "-") -> JsonObject:
    """A value put into a list, which may have to be made first."""
    where, what = (f"{path}/{place}", value) if held else (path, [value])
    return {"op": "add", "path": where, "value": what}


def _containers(spec: Mapping[str, Any]) -> list[JsonObject]:
    return [*(spec.get("initContainers") or ()), *spec["containers"]]


def _still_whole(spec: Mapping[str, Any]) -> None:
    """Whoever changes a Pod after us may not know of native sidecars, and drop what makes ours one."""
    for each in spec.get("initContainers") or ():
        if each["name"] == NAME and each.get("restartPolicy") != "Always":
            raise InjectionRefused(
                f"somebody took restartPolicy: Always from the init container {NAME}, which would never end; "
                f'mend that webhook, or annotate the pod with {PREFIX}native-sidecar: "false"'
            )


def _check_room(spec: Mapping[str, Any]) -> None:
    """Nothing in the Pod may stand where the sidecar is to stand."""
    if spec.get("hostNetwork"):
        raise InjectionRefused("a pod with hostNetwork cannot have a sidecar: its ports would be the node's")
    for each in _containers(spec):
        if each["name"] == NAME:
            raise InjectionRefused(f"the container name {NAME} is Sagamesh's own; rename that container, or remove it")
        taken = {port.get("containerPort") for port in each.get("ports") or ()} & {API_PORT, HEALTH_PORT}
        if taken:
            raise InjectionRefused(
                f"the container {each['name']} uses port {min(taken)}; {API_PORT} and {HEALTH_PORT} are the sidecar's"
            )
    for volume in spec.get("volumes") or ():
        if volume["name"] in VOLUMES:
            raise InjectionRefused(f"the volume name {volume['name']} is Sagamesh's own; rename that volume")


def _wishes(annotations: Mapping[str, str]) -> tuple[Wishes, list[str]]:
    try:
        return wishes(annotations, known=(INJECTED,))
    except ValueError as error:
        raise InjectionRefused(str(error)) from error


def _participant(labels: Mapping[str, str]) -> str:
    name = labels[PARTICIPANT]
    if not is_label(name):
        raise InjectionRefused(f"the label {PARTICIPANT} is {name!r}; it must be a DNS label, such as 'payments'")
    return name
