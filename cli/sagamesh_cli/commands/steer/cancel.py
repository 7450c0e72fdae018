"""`sagamesh cancel`: an instance is aborted, and what it did is undone. The protocol decides whether it is too late."""

from __future__ import annotations

from typing import Annotated

import typer

from sagamesh_cli.client import DEFAULT_URL, ApiClient, RefusedError
from sagamesh_cli.options import InstanceId, SagaName, Url
from sagamesh_cli.output import in_line


def cancel(
    saga: SagaName,
    instance: InstanceId,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; compensations are told.")] = "",
    url: Url = DEFAULT_URL,
) -> None:
    """Abort an instance: what it did will be undone. Exit code 1: it is too late."""
    name = f"{in_line(saga)}/{in_line(instance)}"
    try:
        ApiClient(url).cancel(saga, instance, reason)
    except RefusedError as error:
        if error.outcome != "aborted":
            raise
        typer.echo(f"{name} was aborted before; `sagamesh get` says why, and what is undone")  # as was wished
    else:
        typer.echo(f"{name} is aborted; what it did is undone")
