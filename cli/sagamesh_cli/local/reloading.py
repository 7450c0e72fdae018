"""While sagas run on this machine: their changed files become new revisions, and a server that died comes back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection

import typer

from sagamesh.language.model import Saga
from sagamesh_cli.errors import EnvironmentFault
from sagamesh_cli.local import rollout
from sagamesh_cli.local.file_watch import FileWatch, Looks, look
from sagamesh_cli.local.mesh import POD, LocalMesh, participants_of, provision, read_sagas, unserved
from sagamesh_cli.output import Complaint, complain

Learned = Callable[[Collection[Saga]], None]
LOOK = 0.3
"""Seconds between looks at the files. A change is taken when two of them agree: nobody notices so short a wait, and no
editor takes so long between the parts of a file."""


async def keep(mesh: LocalMesh, looks: Looks, stop: asyncio.Event, learned: Learned) -> None:
    """Take the files' new revisions whenever they change, and start the server again if it dies, until `stop`.

    `looks`: the files as they were when the mesh's sagas were read. `learned`: called before there are instances of
    what they say now.
    """
    reloader = Reloader(mesh, looks, learned)
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), LOOK)
        if mesh.server is not None and not mesh.server.running:
            complain("nats-server ended; it is started again on its port and its disk")
            mesh.server.start()
        for member in mesh.members.values():
            member.check()
        if not stop.is_set():
            await reloader.turn(stop)


async def tell_revisions(mesh: LocalMesh, sagas: Collection[Saga], stop: asyncio.Event) -> None:
    """Say which revisions are in force, when their sidecars have said it."""
    revisions = [rollout.awaited(saga, POD.format) for saga in sagas]
    await rollout.tell(mesh.nats, mesh.options.nats_dir, revisions, stop)


class Reloader:
    """Changed files become new revisions. What is wrong is told once and changes nothing: the old ones stay active."""

    def __init__(self, mesh: LocalMesh, looks: Looks, learned: Learned) -> None:
        self._mesh = mesh
        self._learned = learned
        self._watch = FileWatch(looks)
        self._was_wrong = False
        self._still_due = ""
        """Why a change that is good is not taken yet, as it was told; empty: none is."""

    async def turn(self, stop: asyncio.Event) -> None:
        """One look at the files, and what follows from it."""
        files = self._mesh.options.files
        looks = look(files)
        if not self._watch.see(looks):
            return
        sagas = self._read(files)
        if look(files) != looks:  # they moved while they were read: that may have been half of them
            return
        fault = sagas if isinstance(sagas, Complaint) else await self._take(sagas, stop)
        due = isinstance(fault, EnvironmentFault)  # not the files' fault: the change is tried again, and told once
        if not due:
            self._watch.take(looks)
        if fault is not None and not (due and str(fault) == self._still_due):
            complain(f"the files changed, but the old revisions stay: {fault}")
        self._still_due = str(fault) if due else ""
        self._was_wrong = isinstance(fault, Complaint)

    def _read(self, files: list[str]) -> list[Saga] | Complaint:
        """The sagas of the files, or why they cannot be taken."""
        try:
            sagas = read_sagas(files)
            _check_cast(self._mesh, sagas)
        except Complaint as complaint:
            return complaint
        return sagas

    async def _take(self, sagas: list[Saga], stop: asyncio.Event) -> EnvironmentFault | None:
        """Distribute them, and tell what is new; or why that cannot be done."""
        self._learned(sagas)
        try:
            revisions = await provision(self._mesh.nats, sagas, directory=self._mesh.options.nats_dir)
        except EnvironmentFault as fault:
            return fault
        changed = {name for name, revision in revisions.items() if self._mesh.revisions[name] != revision}
        self._mesh.revisions.update(revisions)
        if self._was_wrong and not changed:
            typer.echo("the files are good again, and mean what they meant before")
        await tell_revisions(self._mesh, [saga for saga in sagas if saga.name in changed], stop)
        return None


def _check_cast(mesh: LocalMesh, sagas: list[Saga]) -> None:
    """What is running now cannot be extended. Raises Complaint."""
    if missing := set(participants_of(sagas)) - set(mesh.members):
        raise Complaint(f"the new participant {min(missing)} has no sidecar here: start `sagamesh dev` again")
    for name in unserved(mesh.options, sagas):
        raise Complaint(f"{name} comes to own a step, and has no service here: start it again, with --app {name}=URL")
    if {(saga.namespace, saga.name) for saga in sagas} != {(saga.namespace, saga.name) for saga in mesh.sagas}:
        raise Complaint("a saga was added, removed or renamed, or moved to another namespace: start it again")
