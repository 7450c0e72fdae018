"""kopf: the watch on Sagas, and how it is set. What it brings is handed on, and nothing else is done here.

kopf keeps no state on users' objects: there are no annotations, no finalizers, and it patches nothing.
"""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import kopf

from sagamesh.api_group import GROUP, OPERATOR, PLURAL, VERSION
from sagamesh_operator.sagas.reconciler import Reconciler


def registry(reconciler: Reconciler) -> kopf.OperatorRegistry:
    """The handlers, for one operator."""
    handlers = kopf.OperatorRegistry()

    @kopf.on.login(registry=handlers)
    def login(**known: Any) -> kopf.ConnectionInfo | None:
        account = kopf.login_with_service_account(**known)
        host, port = (os.environ.get(f"KUBERNETES_SERVICE_{what}") for what in ("HOST", "PORT"))
        if account is not None and host:
            return dataclasses.replace(account, server=f"https://{host}:{port}")
        return kopf.login_with_kubeconfig(**known)

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=handlers)
    def told(event: Any, **_: Any) -> None:
        reconciler.told(event["type"], event["object"])

    return handlers


def settings() -> kopf.OperatorSettings:
    """As suits an operator that only watches. Times in seconds."""
    chosen = kopf.OperatorSettings()
    chosen.posting.enabled = False  # our Events are our own
    chosen.scanning.disabled = True  # no rights on definitions and namespaces: the Saga's definition must be there
    chosen.peering.standalone = True  # nobody else's peering may pause us
    chosen.persistence.finalizer = OPERATOR  # unused, as long as there is no handler that would need one
    chosen.networking.request_timeout = 60.0  # an API server gives up a request of its own after so many
    chosen.networking.connect_timeout = 10.0
    chosen.watching.server_timeout = (
        300  # whole seconds: the API server takes no others; a watch is cheap to begin anew
    )
    chosen.watching.client_timeout = 310  # a bit longer, so that it is the server who ends a watch that is well
    chosen.watching.chunk_size = 500  # as kubectl asks for objects
    chosen.queueing.idle_timeout = 1.0  # a limit of workers would let each saga wait for another's to idle out
    return chosen
