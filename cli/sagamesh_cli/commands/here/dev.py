"""`sagamesh dev`: sagas on this machine, with the server, the distribution and the sidecars that a cluster would have.

The services are the user's own and run anywhere; each participant's sidecar calls the URL given for it by `--app`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from sagamesh.errors import SagameshError
from sagamesh.language.model import Saga
from sagamesh.rules.projection import project
from sagamesh_cli import options
from sagamesh_cli.commands.write.check import accepted
from sagamesh_cli.errors import EnvironmentFault
from sagamesh_cli.local import rollout
from sagamesh_cli.local.nats_server import EmbeddedServer
from sagamesh_cli.local.register_feed import following
from sagamesh_cli.local.sidecars import Member, ProcessMember, TaskMember, Urls
from sagamesh_cli.options import NatsDir
from sagamesh_cli.output import Complaint, complain, table
from sagamesh_cli.views import register_lines
from sagamesh_jetstream.client.session import connect
from sagamesh_jetstream.upkeep.distribute import distribute
from sagamesh_sidecar import json_logging
from sagamesh_sidecar.adapters.files import write_whole
from sagamesh_sidecar.settings import SidecarSettings

Ended = TypeVar("Ended")

Told = Callable[[str], object]

LOOK = 0.3
"""Seconds between looks at the files."""
POD = "{}-1"
"""What the sidecar of a participant is called."""
POLL = 1.0
"""Seconds between a sidecar's looks for rules, where the push should get lost."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What `dev` is asked to do. `apps`, `apis`: participant -> URL of its service, port of its API."""

    files: list[str]
    apps: Mapping[str, str]
    apis: Mapping[str, int] = field(default_factory=dict)
    nats: str = ""
    nats_dir: str = ""
    port: int = 0
    state: Path | None = None
    processes: bool = False
    ready_file: Path | None = None


def dev(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Files with sagas.", show_default=False)],
    app: Annotated[
        list[str] | None, typer.Option(metavar="NAME=URL", help="Where a participant's service listens.")
    ] = None,
    api: Annotated[
        list[str] | None, typer.Option(metavar="NAME=PORT", help="Port of a participant's API; else a free one.")
    ] = None,
    nats: Annotated[str, typer.Option(metavar="URL", help="Use this NATS server instead of an own one.")] = "",
    nats_dir: NatsDir = "",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the own NATS server; 0: a free one.")] = 0,
    state: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep the log here; else it is gone at the end.")
    ] = None,
    processes: Annotated[bool, typer.Option("--processes", help="Run each sidecar as a process of its own.")] = False,
    ready_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where to write what listens where, once it does (JSON).")
    ] = None,
) -> None:
    """Run sagas on this machine: a NATS server, a sidecar for each participant, and a view of what happens."""
    json_logging.configure("warning", register_lines.NewsFormatter())
    apps = options.pairs("--app", app, "payments=http://127.0.0.1:9001")
    wanted = Options(
        files=files,
        apps={name: options.service(name, url) for name, url in apps},
        apis={name: options.port(name, number) for name, number in options.pairs("--api", api, "payments=3650")},
        nats=options.server(nats),
        nats_dir=nats_dir if nats else "",  # the own one takes everybody from this machine
        port=port,
        state=state,
        processes=processes,
        ready_file=ready_file,
    )
    interruptible(run(wanted))


async def run(options: Options) -> None:
    """Until Ctrl-C or SIGTERM; then everything is stopped, in order."""
    stop = asyncio.Event()
    sagas = load(options)
    _clear(options.ready_file)
    async with running(options, sagas) as bench:
        on_signals(stop.set)
        _greet(bench)
        await _spread(bench, bench.sagas, stop)
        with _ready_file(options.ready_file, bench):
            await _watch(bench, stop)
        typer.echo("stopping")


def interruptible(main: Coroutine[Any, Any, Ended]) -> Ended:
    """Run it. A signal cancels it, so that it puts everything away, and then counts as a Ctrl-C."""

    async def cancelled_by_signals() -> Ended:
        task = asyncio.current_task()
        assert task is not None
        on_signals(task.cancel)
        return await main

    try:
        return asyncio.run(cancelled_by_signals())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def on_signals(call: Callable[[], object]) -> None:
    """What Ctrl-C, SIGTERM and the end of the terminal do from now on (this one not under `nohup`)."""
    numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        numbers.remove(signal.SIGHUP)
    for number in numbers:
        asyncio.get_running_loop().add_signal_handler(number, call)


def load(options: Options) -> list[Saga]:
    """The sagas of the files, with a service for every participant. Raises Complaint."""
    sagas = read(options.files)
    participants = participants_of(sagas)
    for option, given in (("--app", options.apps), ("--api", options.apis)):
        for name in given:
            if name not in participants:
                raise Complaint(f"{option} {name}=…: no saga has this participant; there are {', '.join(participants)}")
    ports = [port for port in options.apis.values() if port]
    if len(set(ports)) < len(ports):
        raise Complaint("--api gives one port to two participants")
    for name in participants:
        if name not in options.apps:
            raise Complaint(f"where does the service of {name} listen? add --app {name}=http://127.0.0.1:PORT")
    return sagas


def read(files: list[str]) -> list[Saga]:
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


@dataclass(frozen=True)
class Bench:
    """What runs: the sagas, their server, and where each participant's sidecar listens.

    `server` is None where it is somebody else's. `revisions`: saga -> the one that new instances take.
    """

    options: Options
    sagas: list[Saga]
    nats: str
    urls: Mapping[str, Urls]
    members: Mapping[str, Member]
    server: EmbeddedServer | None
    revisions: dict[str, str]


@contextlib.asynccontextmanager
async def running(
    options: Options, sagas: list[Saga], heard: register_lines.Heard = register_lines.follow, told: Told = complain
) -> AsyncIterator[Bench]:
    """Server, rules, sidecars; `heard` is called with every register that is written, `told` with other news."""
    namespace = sagas[0].namespace
    async with contextlib.AsyncExitStack() as stack:
        directory = stack.enter_context(_directory(options.state))
        server = None if options.nats else stack.enter_context(EmbeddedServer(directory / "nats", options.port))
        url = server.url if server else options.nats
        revisions = await provision(url, sagas, directory=options.nats_dir, allow_reconnect=False)
        names = [saga.name for saga in sagas]
        await stack.enter_async_context(following(url, namespace, names, heard, options.nats_dir))
        members = {name: _member(options, namespace, name, url, directory, told) for name in participants_of(sagas)}
        for member in members.values():
            stack.push_async_callback(member.stop)
        urls = await _start(members.values())
        yield Bench(options, sagas, url, dict(zip(members, urls, strict=True)), members, server, revisions)


async def _start(members: Collection[Member]) -> list[Urls]:
    """All at once. Trouble is raised when each has started or failed: whoever stops them then finds them at rest."""
    urls = []
    for started in await asyncio.gather(*(member.start() for member in members), return_exceptions=True):
        if isinstance(started, BaseException):
            raise started
        urls.append(started)
    return urls


async def provision(url: str, sagas: list[Saga], **options: Any) -> dict[str, str]:
    """Stream, consumers and rules of each saga, by the operator's own code. Gives saga -> active revision.

    `options` are those of `connect`.
    """
    revisions = {}
    try:
        async with connect(url, **options) as stream:
            for saga in sagas:
                documents = project(saga)
                await distribute(stream, documents)
                revisions[saga.name] = next(iter(documents.values())).revision
    except SagameshError as error:
        raise EnvironmentFault(str(error)) from error
    return revisions


def _member(options: Options, namespace: str, participant: str, url: str, directory: Path, told: Told) -> Member:
    settings = SidecarSettings(
        namespace=namespace,
        participant=participant,
        nats=url,
        nats_dir=options.nats_dir,
        app=options.apps[participant],
        pod=POD.format(participant),
        api_port=options.apis.get(participant, 0),
        health_host="127.0.0.1",
        health_port=0,
        poll=POLL,
        state_dir=str(directory / "rules" / participant),
    )
    return ProcessMember(settings, directory, told=told) if options.processes else TaskMember(settings)


async def _watch(bench: Bench, stop: asyncio.Event) -> None:
    """Take the files' new revisions whenever they change, and start the server again if it dies, until `stop`."""
    seen = _stamps(bench.options)
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), LOOK)
        if bench.server is not None and not bench.server.running:
            complain("nats-server ended; it is started again on its port and its disk")
            bench.server.start()
        for member in bench.members.values():
            member.check()
        stamps = _stamps(bench.options)
        if stamps != seen and not stop.is_set():
            seen = stamps
            await _take(bench, stop)


async def _take(bench: Bench, stop: asyncio.Event) -> None:
    """A changed file becomes a new revision. One that is wrong changes nothing: the old ones stay active."""
    try:
        sagas = read(bench.options.files)
        _check_cast(bench, sagas)
        revisions = await provision(bench.nats, sagas, directory=bench.options.nats_dir)
    except (Complaint, EnvironmentFault) as fault:
        complain(f"the files changed, but the old revisions stay: {fault}")
        return
    changed = {name for name, revision in revisions.items() if bench.revisions[name] != revision}
    bench.revisions.update(revisions)
    await _spread(bench, [saga for saga in sagas if saga.name in changed], stop)


async def _spread(bench: Bench, sagas: Collection[Saga], stop: asyncio.Event) -> None:
    """Say which revisions are in force, when their sidecars have said it."""
    revisions = [rollout.awaited(saga, POD.format) for saga in sagas]
    await rollout.tell(bench.nats, bench.options.nats_dir, revisions, stop)


def _check_cast(bench: Bench, sagas: list[Saga]) -> None:
    """What is running now cannot be extended. Raises Complaint."""
    if missing := set(participants_of(sagas)) - set(bench.members):
        raise Complaint(f"the new participant {min(missing)} has no sidecar here: start `sagamesh dev` again")
    if {(saga.namespace, saga.name) for saga in sagas} != {(saga.namespace, saga.name) for saga in bench.sagas}:
        raise Complaint("a saga was added, removed or renamed, or moved to another namespace: start it again")


def _greet(bench: Bench) -> None:
    for saga in bench.sagas:
        typer.echo(f"{saga.name}: {len(saga.steps)} steps, started by {saga.start.event} at {saga.start.participant}")
    rows = [("nats", bench.nats, "")]
    rows += [(name, urls.api, f"app {bench.options.apps[name]}") for name, urls in bench.urls.items()]
    for row in table(rows):
        typer.echo(f"  {row}")
    start = bench.sagas[0].start
    typer.echo(f"start one: sagamesh start {start.event} --url {bench.urls[start.participant].api} --data '{{...}}'")
    sys.stdout.flush()


def _clear(path: Path | None) -> None:
    """Away with the ready file of a `dev` that was killed: whoever waits for one would take it for ours."""
    if path is None:
        return
    if not path.parent.is_dir():
        raise EnvironmentFault(f"--ready-file {path} cannot be written: there is no such directory")
    with _writing(path):
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def _ready_file(path: Path | None, bench: Bench) -> Iterator[None]:
    """Renamed into place when all are ready, removed at the end."""
    if path is None:
        yield
        return
    listens = {
        "nats": bench.nats,
        "participants": {name: urls.api for name, urls in bench.urls.items()},
        "health": {name: urls.health for name, urls in bench.urls.items()},
    }
    with _writing(path):
        write_whole(path, json.dumps(listens).encode())
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EnvironmentFault(f"--ready-file {path} cannot be written: {error.strerror}") from error


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


def _stamps(options: Options) -> list[tuple[int, int]]:
    """When each file was changed, and its size, for an editor empties and fills a file in one tick of that clock."""
    stamps = []
    for name in options.files:
        try:
            status = Path(name).stat()
            stamps.append((status.st_mtime_ns, status.st_size))
        except OSError:  # it is not there just now
            stamps.append((0, 0))
    return stamps
