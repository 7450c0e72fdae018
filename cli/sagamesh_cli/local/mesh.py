"""Sagas on this machine: the server, the distribution and the sidecars that a cluster would have.

The services are the user's own and run anywhere. `reloading` takes changed files while it all runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from sagamesh.errors import SagameshError
from sagamesh.language.model import Saga
from sagamesh.rules.projection import project
from sagamesh_cli.errors import EnvironmentFault
from sagamesh_cli.local.log_tail import tailing
from sagamesh_cli.local.nats_server import EmbeddedServer
from sagamesh_cli.local.register_feed import Heard, following
from sagamesh_cli.local.sidecars import Member, ProcessMember, TaskMember, Urls
from sagamesh_cli.output import Complaint, complain
from sagamesh_cli.saga_checks import accepted
from sagamesh_jetstream.client.session import connect
from sagamesh_jetstream.upkeep.distribute import distribute
from sagamesh_sidecar.adapters.app_client import AppClient
from sagamesh_sidecar.settings import SidecarSettings

Told = Callable[[str], object]
"""Takes a sentence about the machinery."""

News = Callable[[str, bytes], object]
"""Takes a participant, and a line that its sidecar, a process of its own, has written to its log."""

POD = "{}-1"
"""What the sidecar of a participant is called."""
POLL = 1.0
"""Seconds between a sidecar's looks for rules, where the push should get lost: here somebody sits and waits for it."""


@dataclass(frozen=True, kw_only=True)
class MeshOptions:
    """What is to run. `apps`, `apis`: participant -> URL of its service, port of its API (else a free one).

    Who only starts sagas needs no service.

    `nats`: somebody else's server, and `nats_dir` the login there; else an own one on `port` (0: a free one).
    `state`: where the log is kept; else it is gone at the end. `processes`: each sidecar is a process of its own.
    """

    files: list[str]
    apps: Mapping[str, str]
    apis: Mapping[str, int] = field(default_factory=dict)
    nats: str = ""
    nats_dir: str = ""
    port: int = 0
    state: Path | None = None
    processes: bool = False


@dataclass(frozen=True, kw_only=True)
class LocalMesh:
    """What runs: the sagas, their server, and where each participant's sidecar listens.

    `server` is None where it is somebody else's. `revisions`: saga -> the one that new instances take.
    """

    options: MeshOptions
    sagas: list[Saga]
    nats: str
    urls: Mapping[str, Urls]
    members: Mapping[str, Member]
    server: EmbeddedServer | None
    revisions: dict[str, str]

    def listens(self) -> dict[str, Any]:
        """What listens where, as a document."""
        return {
            "nats": self.nats,
            "participants": {name: urls.api for name, urls in self.urls.items()},
            "health": {name: urls.health for name, urls in self.urls.items()},
        }


@contextlib.asynccontextmanager
async def running(
    options: MeshOptions, sagas: list[Saga], heard: Heard, told: Told = complain, logged: News | None = None
) -> AsyncIterator[LocalMesh]:
    """Server, rules, sidecars; `heard` is called with every register that is written, `told` with other news.

    `logged`: with each line of the logs of sidecars that are processes.
    """
    namespace = sagas[0].namespace
    async with contextlib.AsyncExitStack() as stack:
        directory = stack.enter_context(_directory(options.state))
        server = None if options.nats else stack.enter_context(EmbeddedServer(directory / "nats", options.port))
        url = server.url if server else options.nats
        revisions = await provision(url, sagas, directory=options.nats_dir)
        names = [saga.name for saga in sagas]
        await stack.enter_async_context(following(url, namespace, names, heard, options.nats_dir))
        members = {name: _member(options, namespace, name, url, directory, told) for name in participants_of(sagas)}
        for name, member in members.items():
            if logged and isinstance(member, ProcessMember):
                await stack.enter_async_context(tailing(member.log, partial(logged, name)))
            stack.push_async_callback(member.stop)
        urls = dict(zip(members, await _start(members.values()), strict=True))
        yield LocalMesh(
            options=options, sagas=sagas, nats=url, urls=urls, members=members, server=server, revisions=revisions
        )


async def _start(members: Collection[Member]) -> list[Urls]:
    """All at once. A fault is raised when each has started or failed: whoever stops them then finds them at rest."""
    urls = []
    for outcome in await asyncio.gather(*(member.start() for member in members), return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome
        urls.append(outcome)
    return urls


async def silent(options: MeshOptions, sagas: list[Saga]) -> dict[str, str]:
    """Whoever owns steps of these sagas, and has a service where nobody takes a connection: name -> URL."""
    apps = {name: options.apps[name] for name in _owners(sagas) if name in options.apps}
    there = await asyncio.gather(*(AppClient(url).reachable() for url in apps.values()))
    return {name: url for (name, url), answers in zip(apps.items(), there, strict=True) if not answers}


async def provision(url: str, sagas: list[Saga], *, directory: str = "") -> dict[str, str]:
    """Stream, consumers and rules of each saga, by the operator's own code. Gives saga -> active revision.

    `directory`: with the login of NATS.
    """
    revisions = {}
    try:
        async with connect(url, directory=directory) as stream:
            for saga in sagas:
                documents = project(saga)
                await distribute(stream, documents)
                revisions[saga.name] = next(iter(documents.values())).revision
    except SagameshError as error:
        raise EnvironmentFault(str(error)) from error
    return revisions


def _member(options: MeshOptions, namespace: str, participant: str, url: str, directory: Path, told: Told) -> Member:
    settings = SidecarSettings(
        namespace=namespace,
        participant=participant,
        nats=url,
        nats_dir=options.nats_dir,
        app=options.apps.get(participant, ""),
        pod=POD.format(participant),
        api_port=options.apis.get(participant, 0),
        health_host="127.0.0.1",
        health_port=0,
        poll=POLL,
        state_dir=str(directory / "rules" / participant),
    )
    return ProcessMember(settings, directory, told=told) if options.processes else TaskMember(settings)


@contextlib.contextmanager
def _directory(state: Path | None) -> Iterator[Path]:
    if state is None:
        with tempfile.TemporaryDirectory(prefix="sagamesh-", ignore_cleanup_errors=True) as name:
            yield Path(name)
        return
    try:
        state.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentFault(f"--state {state} cannot be used: {error.strerror}") from error
    yield state


# -- the sagas


def read_sagas(files: list[str]) -> list[Saga]:
    """The sagas of files that may run side by side, each accepted by the checks. Raises Complaint."""
    sagas = [saga for name in files for saga in accepted(name)]
    if len({saga.namespace for saga in sagas}) > 1:
        raise Complaint("these sagas are in different namespaces; run one `sagamesh dev` for each")
    names = [saga.name for saga in sagas]
    if twice := {name for name in names if names.count(name) > 1}:
        raise Complaint(f"the saga {min(twice)!r} is there twice")
    return sagas


def participants_of(sagas: list[Saga]) -> list[str]:
    """Every participant, in the order in which they are named first."""
    names = [name for saga in sagas for name in (saga.start.participant, *(step.participant for step in saga.steps))]
    return list(dict.fromkeys(names))


def unserved(options: MeshOptions, sagas: list[Saga]) -> list[str]:
    """Whoever owns steps of these sagas, and has no service that does them."""
    return [name for name in _owners(sagas) if name not in options.apps]


def _owners(sagas: list[Saga]) -> list[str]:
    return list(dict.fromkeys(step.participant for saga in sagas for step in saga.steps))


def check_options(options: MeshOptions, sagas: list[Saga]) -> None:
    """Every participant that owns steps has a service, and nobody has one who takes no part. Raises Complaint."""
    participants = participants_of(sagas)
    for option, given in (("--app", options.apps), ("--api", options.apis)):
        for name in given:
            if name not in participants:
                raise Complaint(f"{option} {name}=…: no saga has this participant; there are {', '.join(participants)}")
    ports = [port for port in options.apis.values() if port]
    if len(set(ports)) < len(ports):
        raise Complaint("--api gives one port to two participants")
    for name in unserved(options, sagas):
        raise Complaint(f"where does the service of {name} listen? add --app {name}=http://127.0.0.1:PORT")
