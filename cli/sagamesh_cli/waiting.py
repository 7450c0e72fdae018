"""`--wait`: how long a command waits for instances, and what it exits with when they have not completed by then.

`start` and `trace` wait. The API is asked by `client`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from sagamesh import durations
from sagamesh_cli.client import is_finished
from sagamesh_cli.output import Complaint, complain
from sagamesh_cli.views import instance as instance_view
from sagamesh_jetstream.client.ports import JsonObject

Wait = Annotated[
    str | None, typer.Option(metavar="DURATION", help="Wait until it has finished, at most so long, as in 30s.")
]


def seconds(wait: str | None) -> float:
    """How long that is; without `--wait` no time at all. Raises Complaint."""
    try:
        return durations.parse(wait) if wait is not None else 0.0
    except ValueError as error:
        raise Complaint(f"--wait: {error}") from None


def exit_unless_completed(instances: Sequence[JsonObject], wait: str) -> None:
    """Exit with 1 where an instance has not completed; say so of those that have not even finished."""
    for instance in instances:
        if not is_finished(instance):
            name = instance_view.full_name(instance)
            complain(f"{name} has not finished within {wait}; look again with `sagamesh trace`")
    if any(instance.get("state") != "completed" for instance in instances):
        raise typer.Exit(1)
