"""Documents put to the API server to be judged, not stored: a dry run takes milliseconds, where kubectl takes 0.2 s."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from kubernetes import config
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.exceptions import DynamicApiError

from sagamesh.api_group import GROUP, PLURAL, VERSION
from support.servers.control_plane import Cluster

SagaDocument = Mapping[Any, Any]
REFUSED = (400, 422, 500)
"""The last is how the server says that what is applied has no place in the schema."""


class Judge:
    """What the API server says of a saga, whose namespace is taken to be `namespace`, and which is new.

    A refusal is its sentence, and empty where it accepts.
    """

    def __init__(self, client: DynamicClient, namespace: str) -> None:
        self._client = client
        self._path = f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{PLURAL}"

    def created(self, document: SagaDocument) -> dict[str, Any]:
        """The object that would be stored."""
        return json.loads(self._ask("post", self._path, document))

    def refusal(self, document: SagaDocument) -> str:
        """As by `kubectl create`."""
        return self._refusal("post", self._path, document)

    def refusal_of_apply(self, document: SagaDocument) -> str:
        """As by `kubectl apply --server-side`, which takes another way through the server."""
        how = {"content_type": "application/apply-patch+yaml", "field_manager": "test"}
        return self._refusal("patch", f"{self._path}/{document['metadata']['name']}", document, **how)

    def _refusal(self, method: str, path: str, document: SagaDocument, **how: str) -> str:
        try:
            self._ask(method, path, document, **how)
        except DynamicApiError as error:
            if error.status not in REFUSED:
                raise
            return str(json.loads(error.body)["message"])
        return ""

    def _ask(self, method: str, path: str, document: SagaDocument, **how: str) -> bytes:
        query = [("dryRun", "All"), ("fieldValidation", "Strict")]
        body = {**document, "metadata": _new(document["metadata"])}
        return self._client.request(method, path, body=body, query_params=query, serialize=False, **how).data


def _new(metadata: object) -> object:
    if not isinstance(metadata, Mapping):
        return metadata
    return {name: field for name, field in metadata.items() if name not in ("namespace", "uid")}


@contextmanager
def judge(cluster: Cluster, namespace: str) -> Iterator[Judge]:
    with config.new_client_from_config(str(cluster.kubeconfig("admin"))) as api:
        yield Judge(DynamicClient(api), namespace)
        api.rest_client.pool_manager.clear()
