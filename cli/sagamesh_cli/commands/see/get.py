"""`sagamesh get`: the sagas of a cluster, one of them, or an instance. `saga_table` and `instance` draw them."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from sagamesh_cli import cluster
from sagamesh_cli.client import DEFAULT_URL, ApiClient
from sagamesh_cli.cluster import EVENTS, FORBIDDEN, SAGAS, Access, Context, Kubeconfig
from sagamesh_cli.options import Url
from sagamesh_cli.output import Complaint, OutputFormat, complain, in_line, show
from sagamesh_cli.views import instance as instance_view
from sagamesh_cli.views import saga_table
from sagamesh_cli.views.saga_table import Shown
from sagamesh_operator.ports import ClusterUnavailable

if TYPE_CHECKING:
    from sagamesh_operator.adapters.kubernetes import KubernetesCluster


class GetFormat(StrEnum):
    """What `-o` chooses from, as kubectl's does. `wide`: with what else there is; `name`: only names."""

    TEXT = "text"
    WIDE = "wide"
    NAME = "name"
    JSON = "json"
    YAML = "yaml"


PROGRAMS = {GetFormat.JSON: OutputFormat.JSON, GetFormat.YAML: OutputFormat.YAML}


class UnknownSagaError(Complaint):
    """There is no such saga, nor instances of one."""

    exit_code = 1


def get(
    saga: Annotated[str | None, typer.Argument(metavar="SAGA", help="One saga.", show_default=False)] = None,
    instance: Annotated[str | None, typer.Argument(metavar="ID", help="An instance of it.", show_default=False)] = None,
    namespace: Annotated[
        str | None,
        typer.Option("-n", "--namespace", metavar="NAME", help="The namespace.", show_default="the context's"),
    ] = None,
    everywhere: Annotated[bool, typer.Option("-A", "--all-namespaces", help="Of all namespaces.")] = False,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    url: Url = DEFAULT_URL,
    output: Annotated[GetFormat, typer.Option("-o", "--output", help="How to show it.")] = GetFormat.TEXT,
) -> None:
    """Show the sagas of a cluster, or one; with an ID an instance, as the API at --url knows it."""
    saga = saga and saga.removeprefix(saga_table.RESOURCE)
    if saga is not None and instance is not None:
        if namespace or everywhere or context:
            raise Complaint("an instance is shown by a participant's API, not by the cluster: name it with --url alone")
        _show_instance(saga, instance, url, output)
        return
    if saga is not None and everywhere:
        raise Complaint("one saga is in one namespace: name it with -n, or leave out the saga's name")
    access = Access(kubeconfig, context)
    where = None if everywhere else namespace or cluster.namespace(access)
    sagas = cluster.ask(access, lambda asked: look(asked, where))
    if saga is None:
        _show_all(sagas, where, output)
    else:
        _show_one(sagas, str(where), saga, output)


def _show_instance(saga: str, instance: str, url: str, output: GetFormat) -> None:
    answer = ApiClient(url).get(saga, instance)
    if output in PROGRAMS:
        show(answer, PROGRAMS[output])
    elif output is GetFormat.NAME:
        typer.echo(instance_view.full_name(answer))
    else:
        typer.echo("\n".join(instance_view.details(answer, wide=output is GetFormat.WIDE)))


async def look(asked: KubernetesCluster, namespace: str | None) -> list[Shown]:
    """The sagas of a namespace, or of all. Raises ClusterUnavailable."""
    below = f"/namespaces/{quote(namespace, safe='')}" if namespace else ""
    documents, _ = await asked.list(f"{SAGAS}{below}/sagas")
    events: list[dict[str, Any]] = []
    try:
        events, _ = await asked.list(f"{EVENTS}{below}/events", field_selector="regarding.kind=Saga")
    except ClusterUnavailable as error:
        if error.status != FORBIDDEN:
            raise
        complain("deleted sagas whose instances still run are not shown: the cluster does not let you list Events")
    return saga_table.shown(documents, events)


def _show_all(sagas: list[Shown], where: str | None, output: GetFormat) -> None:
    if output in PROGRAMS:
        show({"sagas": [saga_table.document(each) for each in sagas]}, PROGRAMS[output])
    elif output is GetFormat.NAME:
        typer.echo("".join(f"{name}\n" for name in saga_table.names(sagas)), nl=False)
    elif sagas:
        wide = output is GetFormat.WIDE
        typer.echo("\n".join(saga_table.lines(sagas, datetime.now(UTC), with_namespace=where is None, wide=wide)))
    else:
        complain(f"there are no sagas in {f'the namespace {where}' if where else 'this cluster'}")


def _show_one(sagas: list[Shown], namespace: str, name: str, output: GetFormat) -> None:
    one = next((each for each in sagas if each.name == name), None)
    if one is None:
        raise UnknownSagaError(f"there is no saga {in_line(name)} in the namespace {in_line(namespace)}")
    if output in PROGRAMS:
        show(saga_table.document(one), PROGRAMS[output])
    elif output is GetFormat.NAME:
        typer.echo("".join(f"{name}\n" for name in saga_table.names([one])), nl=False)
    else:
        typer.echo("\n".join(saga_table.details(one, wide=output is GetFormat.WIDE)))
