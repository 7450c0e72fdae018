"""`sagamesh graph`: a saga as a picture, forward and back. `views.saga_picture` and `views.flowchart` draw it."""

from __future__ import annotations

from enum import StrEnum
from graphlib import CycleError
from shutil import get_terminal_size
from typing import Annotated

import typer

from sagamesh.language.graph import order
from sagamesh.language.model import Saga
from sagamesh_cli import saga_files
from sagamesh_cli.output import OutputFormat, plain, show
from sagamesh_cli.views.flowchart import mermaid
from sagamesh_cli.views.saga_outline import outline
from sagamesh_cli.views.saga_picture import picture


class GraphFormat(StrEnum):
    """What `-o` chooses from."""

    TEXT = "text"
    MERMAID = "mermaid"
    JSON = "json"


def graph(
    file: Annotated[str, typer.Argument(help="A file with sagas, or - for standard input.", metavar="FILE")],
    output: Annotated[GraphFormat, typer.Option("-o", "--output", help="How to show it.")] = GraphFormat.TEXT,
) -> None:
    """Draw a saga: its steps in their order, and the way back."""
    sagas = saga_files.load(file)
    for saga in sagas:
        _refuse_circles(file, saga)
    if output is GraphFormat.JSON:
        show({"sagas": [outline(saga) for saga in sagas]}, OutputFormat.JSON)
    elif output is GraphFormat.MERMAID:
        typer.echo("\n\n".join(plain(mermaid(saga)) for saga in sagas))
    else:
        typer.echo("\n\n".join(plain(picture(saga, get_terminal_size().columns)) for saga in sagas))


def _refuse_circles(file: str, saga: Saga) -> None:
    try:
        order(saga)
    except CycleError as error:
        message = f"in saga {saga.name} these steps wait for one another: {' -> '.join(error.args[1])}"
        raise saga_files.BadFile(saga_files.shown(file), None, message) from None
