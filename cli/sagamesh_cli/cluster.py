"""The cluster that the kubeconfig names, as commands ask it: how they are told which, and its errors as a sentence.

The client is imported when it is needed: it costs half a second, most commands need no cluster, and it is there only
with the extra `cluster`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, NamedTuple, TypeVar

import typer

from sagamesh.api_group import API_VERSION
from sagamesh_cli.errors import EnvironmentFault
from sagamesh_cli.views.doctor_checks import INSTALL
from sagamesh_operator.ports import ClusterUnavailable, NoCluster

if TYPE_CHECKING:
    from sagamesh_operator.adapters.kubernetes import KubernetesCluster

SAGAS = f"/apis/{API_VERSION}"
LIBRARIES = ("kubernetes", "aiohttp")
"""What the extra `cluster` brings."""
MISSING = "the client of Kubernetes is not installed here"
MEND = "pip install 'sagamesh[cluster]'"
EVENTS = "/apis/events.k8s.io/v1"
UNAUTHORIZED, FORBIDDEN, NOT_FOUND = 401, 403, 404  # of HTTP

Context = Annotated[
    str | None, typer.Option(metavar="NAME", help="The context of the kubeconfig.", show_default="the current one")
]
Kubeconfig = Annotated[
    str | None,
    typer.Option(envvar="KUBECONFIG", metavar="FILE", help="The kubeconfig.", show_default="~/.kube/config"),
]
Answer = TypeVar("Answer")


class NoClient(NoCluster):
    """There may be a cluster, but nothing here that could ask it."""

    def __init__(self) -> None:
        super().__init__(MISSING)


class Access(NamedTuple):
    """Which cluster, as who; None: as the environment says."""

    kubeconfig: str | None
    context: str | None


def ask(access: Access, question: Callable[[KubernetesCluster], Awaitable[Answer]]) -> Answer:
    """What the cluster answers. Raises EnvironmentFault."""
    try:
        return asyncio.run(asked(access, question))
    except ClusterUnavailable as error:
        raise EnvironmentFault(sentence(error)) from None


async def asked(access: Access, question: Callable[[KubernetesCluster], Awaitable[Answer]]) -> Answer:
    """The same, where there is a loop. Raises ClusterUnavailable."""
    async with _adapter().connect(*access) as cluster:
        return await question(cluster)


def namespace(access: Access) -> str:
    """Where those are who name no namespace. Raises EnvironmentFault."""
    try:
        name: str = _adapter().namespace(*access)
    except NoCluster as error:
        raise EnvironmentFault(sentence(error)) from None
    return name


def _adapter() -> ModuleType:
    """Raises NoClient."""
    logging.getLogger("kubernetes").setLevel(logging.ERROR)  # that there is no kubeconfig is said by us
    try:
        return import_module("sagamesh_operator.adapters.kubernetes")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in LIBRARIES:
            raise
        raise NoClient from None


def sentence(error: ClusterUnavailable) -> str:
    """What is wrong, and what to do about it."""
    if isinstance(error, NoClient):
        return f"{error}; install it with `{MEND}`"
    if isinstance(error, NoCluster):
        return f"{error}; give a kubeconfig with --kubeconfig or KUBECONFIG, and its context with --context"
    if error.status == NOT_FOUND:
        return f"this cluster knows no Sagas; install their definition {INSTALL}"
    if error.status == UNAUTHORIZED:
        return f"the cluster does not know you ({error}); log in, or choose another context with --context"
    if error.status == FORBIDDEN:
        return f"the cluster does not let you look ({error}); ask for that right, or name a namespace with -n"
    return str(error) if error.status else f"{error}; is the cluster of this context up?"
