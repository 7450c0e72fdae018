"""The API of Kubernetes over the official client's asyncio side. Objects stay the documents that they are.

Of the dynamic client only its requests are used: paths are known, and typed clients would cost each process 25 MiB.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
from kubernetes.aio import client, config
from kubernetes.aio.dynamic import DynamicClient
from kubernetes.aio.dynamic.exceptions import DynamicApiError
from yaml import YAMLError

from sagamesh.api_group import API_VERSION, KIND, OPERATOR, PLURAL
from sagamesh.log.registers import SagaKey
from sagamesh_jetstream.client.ports import JsonObject
from sagamesh_operator.event import event
from sagamesh_operator.ports import ClusterUnavailable, NoCluster
from sagamesh_operator.resource import Note, Resource

MANAGER = "sagamesh-operator"
TIMEOUT = 15.0
"""Seconds for one request: an API server answers within one, or as soon as etcd has elected a leader."""
PAGE = 500
"""Objects of one answer to a list: as kubectl asks for them."""
SAGAS = f"/apis/{API_VERSION}"
NOT_FOUND, CONFLICT = 404, 409  # statuses of HTTP
POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class KubernetesCluster:
    """The ports `Cluster`, `Objects` and `Events` over a client that is logged in already; `connect` makes both."""

    def __init__(self, api: client.ApiClient) -> None:
        self._client = DynamicClient(api)
        self.instance = os.environ.get("HOSTNAME", MANAGER)
        """Which of the processes this is, as the Events say that it reports."""

    async def sagas(self) -> tuple[list[JsonObject], int]:
        return await self.list(f"{SAGAS}/{PLURAL}")

    async def list(self, path: str, **selectors: str) -> tuple[list[JsonObject], int]:
        """All objects below a path, and the version of the list. `selectors`: of labels and fields."""
        objects: list[JsonObject] = []
        token = None
        while True:
            page = await self._ask("get", path, limit=PAGE, _continue=token, **selectors)
            objects += page["items"]
            token = page["metadata"].get("continue")
            if not token:
                return objects, int(page["metadata"]["resourceVersion"])

    async def get(self, path: str) -> JsonObject | None:
        """One object; None: there is none."""
        try:
            return await self._ask("get", path)
        except ClusterUnavailable as error:
            if error.status == NOT_FOUND:
                return None
            raise

    async def replace(self, path: str, document: JsonObject) -> JsonObject | None:
        return await self._unless_changed("put", path, document)

    async def version(self) -> tuple[int, int]:
        """Major and minor: (1, 36)."""
        told = await self._ask("get", "/version")
        return int(told["major"]), int(told["minor"].rstrip("+"))

    async def identity(self) -> str:
        """What makes this cluster one of its own: as is the custom, the uid of `kube-system`."""
        uid: str = (await self._ask("get", "/api/v1/namespaces/kube-system"))["metadata"]["uid"]
        return uid

    async def apply_status(self, resource: Resource, status: JsonObject) -> str | None:
        namespace, name = resource.key
        body = {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {"name": name, "namespace": namespace, "uid": resource.uid},
            "status": status,
        }
        path = f"{SAGAS}/namespaces/{namespace}/{PLURAL}/{name}/status"
        how = {"content_type": "application/apply-patch+yaml", "field_manager": MANAGER, "force_conflicts": "true"}
        changed = await self._unless_changed("patch", path, body, **how)
        return None if changed is None else str(changed["metadata"]["resourceVersion"])

    async def record(self, key: SagaKey, uid: str, note: Note) -> None:
        regarding = {"apiVersion": API_VERSION, "kind": KIND, "namespace": key.namespace, "name": key.saga}
        document = event(
            {"generateName": f"{key.saga}-", "namespace": key.namespace},
            {**regarding, "uid": uid} if uid else regarding,
            note,
            datetime.now(UTC),
            action="Reconcile",
            reporter=OPERATOR,
            instance=self.instance,
        )
        await self.create_event(document)

    async def create_event(self, document: JsonObject) -> None:
        await self._ask("post", _events(document["metadata"]["namespace"]), body=document)

    async def repeat_event(self, namespace: str, name: str, series: JsonObject) -> bool:
        how = {"content_type": "application/merge-patch+json"}
        path = f"{_events(namespace)}/{name}"
        return await self._unless_changed("patch", path, {"series": series}, **how) is not None

    async def _unless_changed(self, method: str, path: str, body: JsonObject, **how: Any) -> JsonObject | None:
        """None: the object is gone, and perhaps another one has its name; or it is not the one that was read."""
        try:
            return await self._ask(method, path, body=body, **how)
        except ClusterUnavailable as error:
            if error.status in (NOT_FOUND, CONFLICT):
                return None
            raise

    async def _ask(self, method: str, path: str, **asked: Any) -> JsonObject:
        try:
            reply = await self._client.request(method, path, serialize=False, _request_timeout=TIMEOUT, **asked)
            document: JsonObject = await reply.json()
        except DynamicApiError as error:
            words = f"{error.status} {error.reason}: {error.summary()}"
            raise ClusterUnavailable(f"Kubernetes refused {method} {path}: {words}", error.status) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:  # a timeout is an OSError
            words = str(error) or type(error).__name__
            raise ClusterUnavailable(f"Kubernetes did not answer {method} {path}: {words}") from error
        return document


@asynccontextmanager
async def connect(kubeconfig: str | None = None, context: str | None = None) -> AsyncIterator[KubernetesCluster]:
    """Logged in by a pod's service account, or by a kubeconfig (its path; else `KUBECONFIG` or `~/.kube/config`).

    Raises NoCluster where neither is there.
    """
    settings = client.Configuration()
    with _configured(kubeconfig):
        if _in_pod(kubeconfig, context):
            config.load_incluster_config(client_configuration=settings)
        else:
            await config.load_kube_config(kubeconfig, context, client_configuration=settings)
    async with client.ApiClient(settings) as api:
        yield KubernetesCluster(api)


def namespace(kubeconfig: str | None = None, context: str | None = None) -> str:
    """Where those who name no namespace are: the context's, or the pod's own. Raises NoCluster."""
    with _configured(kubeconfig):
        if _in_pod(kubeconfig, context):
            return POD_NAMESPACE.read_text().strip()
        contexts, current = config.list_kube_config_contexts(kubeconfig)
        chosen = next((each for each in contexts if each["name"] == context), current)
        named: str = chosen["context"].get("namespace") or "default"
        return named


def _events(namespace: str) -> str:
    return f"/apis/events.k8s.io/v1/namespaces/{namespace}/events"


def _in_pod(kubeconfig: str | None, context: str | None) -> bool:
    return kubeconfig is None and context is None and "KUBERNETES_SERVICE_HOST" in os.environ


@contextmanager
def _configured(kubeconfig: str | None) -> Iterator[None]:
    try:
        yield
    except (config.ConfigException, OSError, ValueError, KeyError, TypeError, AttributeError, YAMLError) as error:
        paths = (kubeconfig or config.KUBE_CONFIG_DEFAULT_LOCATION).split(os.pathsep)
        is_there = any(Path(path).expanduser().exists() for path in paths if path)
        why = " ".join(str(error).split()) if is_there else f"there is no file {os.pathsep.join(paths)}"
        raise NoCluster(f"there is no way into a cluster: {why}") from error
