"""`sagamesh cancel`: an instance is aborted, and what it did is undone. The protocol decides whether it is too late."""

from __future__ import annotations

from typing import Annotated

import typer

from sagamesh_cli.client import DEFAULT_URL, ApiClient
from sagamesh_cli.options import InstanceId, SagaName, Url
from sagamesh_cli.output import in_line


def cancel(
    saga: SagaName,
    instance: InstanceId,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; compensations are told.")] = "",
    url: Url = DEFAULT_URL,
) -> None:
    """Abort an instance: what it did will be undone. Exit code 1: it is too late."""
    ApiClient(url).cancel(saga, instance, reason)
    typer.echo(f"{in_line(saga)}/{in_line(instance)} is aborted; what it did is undone")
