"""`sagamesh dev`: sagas on this machine, beside services that run already. `local.mesh` runs them.

Each participant's sidecar calls the URL given for it by `--app`; who only starts sagas needs none.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from sagamesh.language.model import Saga
from sagamesh.log.registers import Instance, Register
from sagamesh.rules.projection import project
from sagamesh_cli import options
from sagamesh_cli.local import ready_file as readiness
from sagamesh_cli.local import reloading
from sagamesh_cli.local.file_watch import look
from sagamesh_cli.local.mesh import LocalMesh, MeshOptions, check_options, read_sagas, running, silent
from sagamesh_cli.local.signals import interruptible, on_signals
from sagamesh_cli.options import NatsDir
from sagamesh_cli.output import complain
from sagamesh_cli.views import sidecar_news
from sagamesh_cli.views.greeting import greeting
from sagamesh_cli.views.register_lines import RegisterLines
from sagamesh_cli.views.sidecar_news import NewsFormatter
from sagamesh_sidecar import json_logging


def dev(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Files with sagas.", show_default=False)],
    app: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=URL", help="Where a participant's service listens; who only starts sagas needs none."
        ),
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
    json_logging.configure("warning", NewsFormatter())
    apps = options.pairs("--app", app, "payments=http://127.0.0.1:9001")
    asked = MeshOptions(
        files=files,
        apps={name: options.service(name, url) for name, url in apps},
        apis={name: options.port(name, number) for name, number in options.pairs("--api", api, "payments=3650")},
        nats=options.server(nats),
        nats_dir=nats_dir if nats else "",  # the own one takes everybody from this machine
        port=port,
        state=state,
        processes=processes,
    )
    interruptible(_run(asked, ready_file))


async def _run(asked: MeshOptions, ready_file: Path | None) -> None:
    """Until Ctrl-C or SIGTERM; then everything is stopped, in order."""
    stop = asyncio.Event()
    looks = look(asked.files)  # before they are read: a change while it all starts is one, too
    sagas = read_sagas(asked.files)
    check_options(asked, sagas)
    readiness.clear(ready_file)
    lines = RegisterLines()
    _learn(lines, sagas)
    async with running(asked, sagas, partial(_show, lines), logged=_show_log) as mesh:
        on_signals(stop.set)
        _greet(mesh)
        for name, url in (await silent(asked, sagas)).items():
            complain(f"the service of {name} does not answer at {url}: its steps wait until it does")
        await reloading.tell_revisions(mesh, mesh.sagas, stop)
        with readiness.present(ready_file, mesh.listens()):
            await reloading.keep(mesh, looks, stop, partial(_learn, lines))
        typer.echo("stopping")


def _learn(lines: RegisterLines, sagas: Iterable[Saga]) -> None:
    """From now on there may be instances of these."""
    for saga in sagas:
        lines.learn(next(iter(project(saga).values())))


def _show(lines: RegisterLines, instance: Instance, register: Register) -> None:
    """Print a register as it comes."""
    for told in lines.of(instance, register):
        typer.echo(told)


def _show_log(participant: str, line: bytes) -> None:
    """Print what a sidecar in a process of its own says to people."""
    if news := sidecar_news.of_line(participant, line):
        typer.echo(news, err=True)


def _greet(mesh: LocalMesh) -> None:
    apis = {name: urls.api for name, urls in mesh.urls.items()}
    typer.echo("\n".join(greeting(mesh.sagas, mesh.nats, apis, mesh.options.apps)))
    sys.stdout.flush()
