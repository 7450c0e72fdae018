"""How far a revision has come: which sidecars hold it, by their own word."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import typer

from sagamesh.distribution.heartbeat import Heartbeat
from sagamesh.errors import UnavailableError
from sagamesh.language.model import Saga
from sagamesh.rules.projection import project
from sagamesh_cli.output import complain
from sagamesh_jetstream.client.ports import JetStreamError
from sagamesh_jetstream.client.session import connect
from sagamesh_jetstream.upkeep.fleet import Fleet, read_fleet

LOOK = 0.1
"""Seconds between looks at the heartbeats: somebody waits for what they say."""
PATIENCE = 5.0
"""Seconds after which it is told who has not spoken yet: here each looks for rules once a second."""


@dataclass(frozen=True, eq=False)
class Awaited:
    """A revision of a saga, and the sidecars that must hold it: participant -> pod."""

    namespace: str
    saga: str
    revision: str
    starter: str
    pods: Mapping[str, str]

    def missing(self, fleet: Fleet) -> list[str]:
        """The participants whose sidecar has not told that it holds the revision, or starts it where it should."""
        return [name for name, pod in self.pods.items() if not self._stands(fleet, name, pod)]

    def _stands(self, fleet: Fleet, participant: str, pod: str) -> bool:
        live = (one for one in fleet.of(self.namespace, participant) if one.pod == pod)
        return any(self._held_by(one) for one in live)

    def _held_by(self, one: Heartbeat) -> bool:
        held = self.revision in one.holds.get(self.saga, ())
        return held and (one.participant != self.starter or one.starts.get(self.saga) == self.revision)


def awaited(saga: Saga, pod: Callable[[str], str]) -> Awaited:
    """What is awaited of the saga's participants. `pod`: the pod of a participant."""
    documents = project(saga)
    revision = next(iter(documents.values())).revision
    pods = {name: pod(name) for name in documents}
    return Awaited(saga.namespace, saga.name, revision, saga.start.participant, pods)


async def tell(url: str, directory: str, revisions: Iterable[Awaited], stop: asyncio.Event) -> None:
    """Say which revision new instances take, once every sidecar has told so; after a while, who has not.

    `directory`: with the login of NATS. Returns soon after `stop` was set.
    """
    late = {one: list(one.pods) for one in revisions}
    with contextlib.suppress(TimeoutError, UnavailableError, JetStreamError):
        async with asyncio.timeout(PATIENCE), connect(url, directory=directory) as js:
            while late and not stop.is_set():
                fleet = await read_fleet(js, next(iter(late)).namespace)
                late = {one: one.missing(fleet) for one in late}
                for one in [one for one, missing in late.items() if not missing]:
                    typer.echo(f"{one.saga}: new instances take revision {one.revision}")
                    del late[one]
                await asyncio.sleep(LOOK if late else 0)
    for one, missing in late.items():
        if not stop.is_set():
            names = ", ".join(missing)
            complain(f"{one.saga}: revision {one.revision} is distributed, but not held yet by the sidecar of {names}")
