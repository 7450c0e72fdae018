"""`sagamesh trace`: what happened to an instance, in order. `views.instance` draws it."""

from __future__ import annotations

import typer

from sagamesh_cli import waiting
from sagamesh_cli.client import DEFAULT_URL, ApiClient
from sagamesh_cli.options import InstanceId, Output, SagaName, Url
from sagamesh_cli.output import OutputFormat, show
from sagamesh_cli.views.instance import headline, timeline
from sagamesh_cli.waiting import Wait


def trace(
    saga: SagaName,
    instance: InstanceId,
    wait: Wait = None,
    url: Url = DEFAULT_URL,
    output: Output = OutputFormat.TEXT,
) -> None:
    """Show what happened, in order. Exit code 1: waited, and it did not complete."""
    answer = ApiClient(url).get(saga, instance, waiting.seconds(wait))
    if output is not OutputFormat.TEXT:
        show(answer, output)
    else:
        typer.echo("\n".join([headline(answer), *timeline(answer)]))
    if wait is not None:
        waiting.exit_unless_completed([answer], wait)
