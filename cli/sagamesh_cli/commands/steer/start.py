"""`sagamesh start`: an event starts sagas. `client` sends it, `views.instance` says what came of it."""

from __future__ import annotations

import json
import math
import os
import sys
import uuid
from codecs import BOM_UTF8
from pathlib import Path
from typing import Annotated

import typer

from sagamesh_cli import waiting
from sagamesh_cli.client import DEFAULT_URL, ApiClient, RefusedError
from sagamesh_cli.options import Output, Url
from sagamesh_cli.output import Complaint, OutputFormat, complain, show
from sagamesh_cli.views import instance as instance_view
from sagamesh_cli.waiting import Wait


def start(
    event: Annotated[str, typer.Argument(metavar="EVENT", help="The event's type, as in order.placed.")],
    data: Annotated[str, typer.Option(metavar="JSON|@FILE|-", help="The event's data.")] = "{}",
    event_id: Annotated[
        str | None,
        typer.Option("--id", metavar="ID", help="The event's id: the instance's, where the saga has no key."),
    ] = None,
    wait: Wait = None,
    url: Url = DEFAULT_URL,
    output: Output = OutputFormat.TEXT,
) -> None:
    """Send an event that starts sagas. Exit code 1: waited, and it did not complete."""
    client, seconds, name = ApiClient(url), waiting.seconds(wait), event_id or str(uuid.uuid4())
    try:
        instances = client.start(event, _json(data), name)
    except RefusedError as error:
        if error.status == 503:
            complain(f"whether it was started is not known; send it again with --id {name}, which does no harm")
        raise
    if wait is not None:
        instances = [{**each, **client.get(str(each.get("saga")), str(each["id"]), seconds)} for each in instances]
    if output is not OutputFormat.TEXT:
        show({"instances": instances}, output)
    else:
        more = "" if client.url == os.environ.get("SAGAMESH_URL", DEFAULT_URL) else f" --url {client.url}"
        for each in instances:
            typer.echo(instance_view.headline(each) if "state" in each else instance_view.started(each, more))
    if wait is not None:
        waiting.exit_unless_completed(instances, wait)


def _json(data: str) -> bytes:
    """The data as they are, once it is known that they are JSON. Raises Complaint."""
    try:
        given = _given(data)
        json.loads(given.decode(), parse_constant=_refuse_constant, parse_float=_finite)
    except OSError as error:
        raise Complaint(f"--data {data}: the file cannot be read: {error.strerror}") from None
    except RecursionError:
        raise Complaint("--data is nested too deep") from None
    except ValueError as error:  # of JSON, of UTF-8, or of a file's name
        raise Complaint(f"--data is not JSON: {error}") from None
    return given


def _given(data: str) -> bytes:
    """What is on the command line, in the file, or comes in; without the mark that some editors put before UTF-8."""
    if data == "-":
        given = sys.stdin.buffer.read()
    elif data.startswith("@"):
        given = Path(data[1:]).read_bytes()
    else:
        given = data.encode()
    return given.removeprefix(BOM_UTF8)


def _refuse_constant(word: str) -> None:
    raise ValueError(f"there is no {word} in JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is more than a number can hold")
    return number
