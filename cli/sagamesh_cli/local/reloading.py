"""While sagas run on this machine: their changed files become new revisions, and a server that died comes back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection
from pathlib import Path

from sagamesh.language.model import Saga
from sagamesh_cli.errors import EnvironmentFault
from sagamesh_cli.local import rollout
from sagamesh_cli.local.mesh import POD, LocalMesh, participants_of, provision, read_sagas
from sagamesh_cli.output import Complaint, complain

LOOK = 0.3
"""Seconds between looks at the files: whoever saves one should not have to wait for it."""


async def keep(mesh: LocalMesh, stop: asyncio.Event) -> None:
    """Take the files' new revisions whenever they change, and start the server again if it dies, until `stop`."""
    seen = _stamps(mesh.options.files)
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), LOOK)
        if mesh.server is not None and not mesh.server.running:
            complain("nats-server ended; it is started again on its port and its disk")
            mesh.server.start()
        for member in mesh.members.values():
            member.check()
        stamps = _stamps(mesh.options.files)
        if stamps != seen and not stop.is_set():
            seen = stamps
            await _take(mesh, stop)


async def tell_revisions(mesh: LocalMesh, sagas: Collection[Saga], stop: asyncio.Event) -> None:
    """Say which revisions are in force, when their sidecars have said it."""
    revisions = [rollout.awaited(saga, POD.format) for saga in sagas]
    await rollout.tell(mesh.nats, mesh.options.nats_dir, revisions, stop)


async def _take(mesh: LocalMesh, stop: asyncio.Event) -> None:
    """A changed file becomes a new revision. One that is wrong changes nothing: the old ones stay active."""
    try:
        sagas = read_sagas(mesh.options.files)
        _check_cast(mesh, sagas)
        revisions = await provision(mesh.nats, sagas, directory=mesh.options.nats_dir)
    except (Complaint, EnvironmentFault) as fault:
        complain(f"the files changed, but the old revisions stay: {fault}")
        return
    changed = {name for name, revision in revisions.items() if mesh.revisions[name] != revision}
    mesh.revisions.update(revisions)
    await tell_revisions(mesh, [saga for saga in sagas if saga.name in changed], stop)


def _check_cast(mesh: LocalMesh, sagas: list[Saga]) -> None:
    """What is running now cannot be extended. Raises Complaint."""
    if missing := set(participants_of(sagas)) - set(mesh.members):
        raise Complaint(f"the new participant {min(missing)} has no sidecar here: start `sagamesh dev` again")
    if {(saga.namespace, saga.name) for saga in sagas} != {(saga.namespace, saga.name) for saga in mesh.sagas}:
        raise Complaint("a saga was added, removed or renamed, or moved to another namespace: start it again")


def _stamps(files: Collection[str]) -> list[tuple[int, int]]:
    """When each file was changed, and its size, for an editor empties and fills a file in one tick of that clock."""
    stamps = []
    for name in files:
        try:
            status = Path(name).stat()
            stamps.append((status.st_mtime_ns, status.st_size))
        except OSError:  # it is not there just now
            stamps.append((0, 0))
    return stamps
