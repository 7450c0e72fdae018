"""What `sagamesh dev` says once everything listens. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sagamesh.language.model import Saga
from sagamesh.text import counted
from sagamesh_cli.output import table


def greeting(sagas: Sequence[Saga], nats: str, apis: Mapping[str, str], apps: Mapping[str, str]) -> list[str]:
    """The sagas, who listens where, and how to start one. `apis`, `apps`: participant -> URL; some have no app."""
    heads = [f"{saga.name}: {counted(len(saga.steps), 'step')}, started by {_starter(saga)}" for saga in sagas]
    rows = [("nats", nats, ""), *((name, api, _app(apps.get(name))) for name, api in apis.items())]
    start = sagas[0].start
    hint = f"start one: sagamesh start {start.event} --url {apis[start.participant]} --data '{{...}}'"
    return [*heads, *(f"  {row}" for row in table(rows)), hint]


def _starter(saga: Saga) -> str:
    return f"{saga.start.event} at {saga.start.participant}"


def _app(url: str | None) -> str:
    return f"app {url}" if url else "no app: it only starts sagas"
