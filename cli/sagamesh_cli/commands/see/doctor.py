"""`sagamesh doctor`: looks at the cluster and at NATS, and says what is wrong there. `doctor_checks` judges it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec import to_builtins

from sagamesh.api_group import CRD, VERSION
from sagamesh.distribution import buckets
from sagamesh.errors import UnavailableError
from sagamesh_cli import cluster, log_pace
from sagamesh_cli.cluster import FORBIDDEN, NOT_FOUND, Access, Context, Kubeconfig, NoClient
from sagamesh_cli.errors import EnvironmentFault
from sagamesh_cli.options import NatsDir, Output
from sagamesh_cli.output import OutputFormat, show
from sagamesh_cli.views import doctor_checks
from sagamesh_cli.views.doctor_checks import CLUSTER, NATS, Check, Level
from sagamesh_jetstream.client.ports import JetStream, JetStreamError, JsonObject
from sagamesh_jetstream.upkeep.lookups import ask
from sagamesh_operator import crd
from sagamesh_operator.ports import ClusterUnavailable, NoCluster

if TYPE_CHECKING:
    from sagamesh_operator.adapters.kubernetes import KubernetesCluster

DEFINITION = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{CRD}"
BUCKETS = (buckets.RULES_BUCKET, buckets.SIDECARS_BUCKET)
TIMEOUT = 5.0
"""Seconds that NATS has for one answer: it takes milliseconds, and somebody sits and waits."""


def doctor(
    nats: Annotated[
        str | None, typer.Option(envvar="SAGAMESH_NATS", metavar="URL", help="Look at this NATS.", show_default="none")
    ] = None,
    nats_dir: NatsDir = "",
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    output: Output = OutputFormat.TEXT,
) -> None:
    """Check the environment: the cluster, and NATS. Exit code 1: something is wrong; with warnings alone 0."""
    checks = asyncio.run(_all(Access(kubeconfig, context), nats, nats_dir))
    good = doctor_checks.succeeded(checks)
    if output is OutputFormat.TEXT:
        typer.echo("\n".join(doctor_checks.lines(checks)))
    else:
        show({"success": good, "checks": to_builtins(checks)}, output)
    raise typer.Exit(0 if good else 1)


async def _all(access: Access, nats: str | None, nats_dir: str) -> list[Check]:
    checks, installation = await _of_cluster(access, is_needed=nats is None or access.context is not None)
    if nats is None:
        checks.append(Check(NATS, "NATS", Level.SKIPPED, "name a server with --nats or SAGAMESH_NATS"))
    else:
        checks += [check async for check in _of_nats(nats, nats_dir, installation)]
    return checks


async def _of_cluster(access: Access, *, is_needed: bool) -> tuple[list[Check], str | None]:
    """The checks, and which installation the cluster is, as far as it tells."""
    what = "the API server answers"

    async def look(asked: KubernetesCluster) -> tuple[list[Check], str | None]:
        version = (await asked.get("/version") or {}).get("gitVersion", "")
        checks = [Check(CLUSTER, what, Level.OK, version)]
        checks += [check async for check in _of_definition(asked)]
        checks += [check async for check in _of_sagas(asked)]
        try:
            return checks, await asked.identity()
        except ClusterUnavailable:
            return checks, None

    try:
        return await cluster.asked(access, look)
    except NoClient as error:
        if is_needed:
            raise EnvironmentFault(cluster.sentence(error)) from None
        return [Check(CLUSTER, "there is a cluster", Level.SKIPPED, str(error), cluster.MEND)], None
    except NoCluster as error:
        if is_needed:
            return [Check(CLUSTER, "there is a cluster", Level.FAILURE, str(error), "name one with --kubeconfig")], None
        return [Check(CLUSTER, "there is a cluster", Level.SKIPPED, str(error))], None
    except ClusterUnavailable as error:
        return [Check(CLUSTER, what, Level.FAILURE, str(error), "is it up, and may you log in?")], None


async def _of_definition(asked: KubernetesCluster) -> AsyncIterator[Check]:
    try:
        installed = await asked.get(DEFINITION)
    except ClusterUnavailable as error:
        if error.status != FORBIDDEN:
            raise
        yield Check(CLUSTER, "the Saga definition", Level.SKIPPED, "not visible: you may not read definitions")
        return
    for check in doctor_checks.definition(installed, crd.resource(), VERSION):
        yield check


async def _of_sagas(asked: KubernetesCluster) -> AsyncIterator[Check]:
    try:
        documents, _ = await asked.sagas()
    except ClusterUnavailable as error:
        if error.status == FORBIDDEN:
            yield Check(CLUSTER, "the Sagas", Level.SKIPPED, "not visible: you may not list those of all namespaces")
        elif error.status == NOT_FOUND:
            yield Check(CLUSTER, "the Sagas", Level.SKIPPED, "without their definition there are none")
        else:
            raise
        return
    for check in doctor_checks.sagas(documents):
        yield check


async def _of_nats(url: str, directory: str, installation: str | None) -> AsyncIterator[Check]:
    from sagamesh_jetstream.client.session import LockedOut, connect  # noqa: PLC0415 - who looks at no NATS need not wait for it

    answers = "the server answers"
    try:
        async with connect(url, directory=directory, timeout=TIMEOUT) as js:
            said = js.connection.server_info
            yield Check(NATS, answers, Level.OK, f"version {said.get('version')}")
            async for check in _of_jetstream(js, said, installation):
                yield check
    except LockedOut as error:
        yield Check(NATS, answers, Level.FAILURE, str(error), "--nats-dir names the directory with the login")
    except UnavailableError as error:
        yield Check(NATS, answers, Level.FAILURE, str(error), "is it up, and is that its address?")


async def _of_jetstream(js: JetStream, said: JsonObject, installation: str | None) -> AsyncIterator[Check]:
    what, enable = "JetStream is on", "enable it in the server's configuration (jetstream) and for this account"
    try:
        if not said.get("jetstream"):
            yield Check(NATS, what, Level.FAILURE, "JetStream is not enabled", enable)
            return
        await js.api("INFO")
        infos = {name: await _bucket(js, name) for name in BUCKETS}
    except (JetStreamError, UnavailableError) as error:
        yield Check(NATS, what, Level.FAILURE, str(error), enable)
        return
    yield Check(NATS, what, Level.OK)
    yield doctor_checks.servers(said, [info for info in infos.values() if info is not None])
    for check in doctor_checks.buckets(infos, installation):
        yield check
    yield doctor_checks.sync()
    async for check in _of_logs(js):
        yield check


async def _of_logs(js: JetStream) -> AsyncIterator[Check]:
    """Writes only where some log is so busy that it matters how long that takes."""
    try:
        paces = await log_pace.paces(js)
        busy = doctor_checks.is_busy(paces)
        takes = await log_pace.write_takes(js) if busy else 0.0
    except (JetStreamError, UnavailableError) as error:
        yield doctor_checks.unseen_pace(str(error))
        return
    for check in doctor_checks.pace(paces, takes):
        yield check


async def _bucket(js: JetStream, name: str) -> JsonObject | None:
    return await ask(js, f"STREAM.INFO.{buckets.bucket_stream(name)}")
