"""A review as the API server sends it, and the answer that it gets (admission.k8s.io/v1). Pure."""

from __future__ import annotations

import base64
import json
from typing import Any, Literal, NamedTuple

from sagamesh_jetstream.client.ports import JsonObject
from sagamesh_operator.injection.container import Installation
from sagamesh_operator.injection.events import Remark, remark
from sagamesh_operator.injection.patch import Injection, InjectionRefused, inject
from sagamesh_operator.resource import Note

ReviewResult = Literal["injected", "unchanged", "refused", "unreadable"]
INJECTED, REFUSED = "SidecarInjected", "SidecarRefused"
"""Reasons of Events."""
FORBIDDEN = 403
"""As the API server's own admission refuses."""


class ReviewAnswer(NamedTuple):
    """`review`: the body of the answer. `why`: the sentence of a refusal. `remark`: what an Event is to tell."""

    review: JsonObject
    result: ReviewResult
    why: str = ""
    remark: Remark | None = None


class Unreadable(ValueError):  # noqa: N818 - nobody's review, answered as a bad request
    """The body is no review of a Pod."""


def answer(body: bytes, installation: Installation) -> ReviewAnswer:
    """Raises Unreadable."""
    try:
        asked = json.loads(body)["request"]
        uid, namespace, pod = asked["uid"], asked["namespace"], asked["object"]
        if asked["kind"]["kind"] != "Pod" or asked["operation"] != "CREATE":
            return _answered("unchanged", uid, {"allowed": True})
        injection = inject(pod, namespace, installation)
    except InjectionRefused as refused:
        status = {"code": FORBIDDEN, "reason": "Forbidden", "message": str(refused)}
        why = str(refused)
        told = remark(asked, Note("Warning", REFUSED, f"a pod was refused: {why}"))
        return _answered("refused", uid, {"allowed": False, "status": status}, why, told)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise Unreadable(f"this is no review of a Pod: {type(error).__name__}: {error}") from error
    given: dict[str, Any] = {"allowed": True}
    if injection.warnings:
        given["warnings"] = injection.warnings
    if not injection.patch:
        return _answered("unchanged", uid, given)
    patch = base64.b64encode(json.dumps(injection.patch).encode()).decode()
    told = remark(asked, _note(injection, installation))
    return _answered("injected", uid, given | {"patchType": "JSONPatch", "patch": patch}, told=told)


def _note(injection: Injection, installation: Installation) -> Note:
    """The same for all pods of a kind: it holds nothing of the one pod."""
    app = injection.app
    where = "no app" if app.port is None else f"port {app.port}" + (f" of {app.container}" if app.container else "")
    message = "; ".join(
        [f"the sidecar {installation.image} was put into a pod, and calls {where}", *injection.warnings]
    )
    return Note("Warning" if injection.warnings else "Normal", INJECTED, message)


def _answered(
    result: ReviewResult, uid: str, given: JsonObject, why: str = "", told: Remark | None = None
) -> ReviewAnswer:
    response = {"uid": uid, **given}
    return ReviewAnswer(
        {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}, result, why, told
    )
