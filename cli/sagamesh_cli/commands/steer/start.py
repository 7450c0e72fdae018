"""`sagamesh start`, `get SAGA ID`, `trace` and `cancel`: instances as people see them. `client` speaks to the API."""

from __future__ import annotations

import json
import math
import os
import sys
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from sagamesh import durations
from sagamesh_cli.client import DEFAULT_URL, ApiClient, RefusedError, is_finished
from sagamesh_cli.output import Complaint, OutputFormat, complain, in_line, paint, show, table
from sagamesh_jetstream.client.ports import JsonObject

COLOURS = {
    **dict.fromkeys(("completed", "committed", "done"), "green"),
    **dict.fromkeys(("compensated", "aborted", "failed"), "red"),
    **dict.fromkeys(("aborting", "compensating", "cancelled"), "yellow"),
}
"""Of states, and of values of registers."""

SagaName = Annotated[str, typer.Argument(metavar="SAGA", help="The saga's name.", show_default=False)]
InstanceId = Annotated[str, typer.Argument(metavar="ID", help="The instance's id.", show_default=False)]
Url = Annotated[
    str, typer.Option(envvar="SAGAMESH_URL", metavar="URL", help="The API of any participant that takes part.")
]
Output = Annotated[OutputFormat, typer.Option("-o", "--output", help="How to show it.")]
Wait = Annotated[
    str | None, typer.Option(metavar="DURATION", help="Wait until it has finished, at most so long, as in 30s.")
]


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
    client, seconds, name = ApiClient(url), _seconds(wait), event_id or str(uuid.uuid4())
    try:
        started = client.start(event, _json(data), name)
    except RefusedError as error:
        if error.status == 503:
            complain(f"whether it was started is not known; send it again with --id {name}, which does no harm")
        raise
    if wait is not None:
        started = [{**s, **client.get(str(s.get("saga")), str(s["id"]), seconds)} for s in started]
    if output is not OutputFormat.TEXT:
        show({"instances": started}, output)
    else:
        for instance in started:
            typer.echo(_headline(instance) if "state" in instance else _started(instance, client))
    if wait is not None:
        _judge(started, wait)


def show_instance(saga: str, instance: str, url: str, output: OutputFormat) -> None:
    """`sagamesh get SAGA ID`: its state, and that of each step."""
    found = ApiClient(url).get(saga, instance)
    if output is not OutputFormat.TEXT:
        show(found, output)
        return
    facts = [(key, _text(found.get(key)) or "-") for key in ("run", "revision", "started", "finished")]
    typer.echo("\n".join([_headline(found), *(f"  {fact}" for fact in table(facts)), "", *_steps(found)]))


def trace(
    saga: SagaName,
    instance: InstanceId,
    wait: Wait = None,
    url: Url = DEFAULT_URL,
    output: Output = OutputFormat.TEXT,
) -> None:
    """Show what happened, in order. Exit code 1: waited, and it did not complete."""
    found = ApiClient(url).get(saga, instance, _seconds(wait))
    if output is not OutputFormat.TEXT:
        show(found, output)
    else:
        typer.echo("\n".join([_headline(found), *_timeline(found)]))
    if wait is not None:
        _judge([found], wait)


def cancel(
    saga: SagaName,
    instance: InstanceId,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; compensations are told.")] = "",
    url: Url = DEFAULT_URL,
) -> None:
    """Abort an instance: what it did will be undone. Exit code 1: it is too late."""
    ApiClient(url).cancel(saga, instance, reason)
    typer.echo(f"{in_line(saga)}/{in_line(instance)} is aborted, and is being undone")


def _judge(instances: Sequence[JsonObject], wait: str) -> None:
    """Exit with 1 where an instance has not completed."""
    for instance in instances:
        if not is_finished(instance):
            complain(f"{_name(instance)} has not finished within {wait}; look again with `sagamesh trace`")
    if any(instance.get("state") != "completed" for instance in instances):
        raise typer.Exit(1)


def _seconds(wait: str | None) -> float:
    try:
        return durations.parse(wait) if wait is not None else 0.0
    except ValueError as error:
        raise Complaint(f"--wait: {error}") from None


def _json(data: str) -> Any:
    try:
        if data == "-":
            data = sys.stdin.buffer.read().decode()
        elif data.startswith("@"):
            data = Path(data[1:]).read_text("utf-8")
        return json.loads(data, parse_constant=_refuse_constant, parse_float=_finite)
    except OSError as error:
        raise Complaint(f"--data {data}: the file cannot be read: {error.strerror}") from None
    except RecursionError:
        raise Complaint("--data is nested too deep") from None
    except ValueError as error:  # of JSON, of UTF-8, or of a file's name
        raise Complaint(f"--data is not JSON: {error}") from None


def _refuse_constant(word: str) -> None:
    raise ValueError(f"there is no {word} in JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is more than a number can hold")
    return number


def _started(instance: JsonObject, client: ApiClient) -> str:
    how = "had been started before, with the same data" if instance.get("duplicate") else "started"
    saga, name = _text(instance.get("saga")), _text(instance.get("id"))
    where = "" if client.url == os.environ.get("SAGAMESH_URL", DEFAULT_URL) else f" --url {client.url}"
    return f"{_name(instance)} {how}\n  see what happens: sagamesh trace {saga} {name} --wait 30s{where}"


def _name(instance: JsonObject) -> str:
    return f"{_text(instance.get('saga'))}/{_text(instance.get('id'))}"


def _headline(instance: JsonObject) -> str:
    state = _text(instance.get("state"))
    parts = [paint(_name(instance), bold=True), paint(state, COLOURS.get(state), bold=True)]
    if instance.get("parked"):
        parts.append(paint("parked", "red", bold=True))
    if cause := instance.get("cause"):
        parts.append(f"because {_cause(cause)}")
    return " ".join(parts)


def _cause(cause: Any) -> str:
    """As a sentence: `reserve-credit was refused: INSUFFICIENT_CREDIT`."""
    if not isinstance(cause, Mapping):
        return _text(cause)
    who = _text(cause.get("step") or "it")
    what = {"refused": "was refused", "unknown": "failed", "cancelled": "was cancelled"}.get(_text(cause.get("kind")))
    reason = _text(cause.get("reason"))
    return f"{who} {what or _text(cause.get('kind'))}" + (f": {reason}" if reason else "")


def _steps(instance: JsonObject) -> list[str]:
    titles = ("STEP", "PARTICIPANT", "STATE", "EVENT", "ATTEMPTS", "REASON")
    rows = [[_text(step.get(key)) for key in ("name", *map(str.lower, titles[1:]))] for step in _of(instance, "steps")]
    head, *lines = table([titles, *rows])
    return [paint(head, dim=True), *(paint(line, COLOURS.get(row[2])) for row, line in zip(rows, lines, strict=True))]


def _timeline(instance: JsonObject) -> list[str]:
    """One line for each register, with the time since the start."""
    moments = _of(instance, "timeline")
    titles = ("TIME", "STEP", "REGISTER", "VALUE", "BY")
    begun = instance.get("started")
    rows = [
        [_since(begun, moment.get("time")), *(_text(moment.get(title.lower())) for title in titles[1:])]
        for moment in moments
    ]
    head, *lines = table([titles, *rows])
    return [paint(head, dim=True), *(paint(line, COLOURS.get(row[3])) for row, line in zip(rows, lines, strict=True))]


def _since(begun: Any, time: Any) -> str:
    """`+0.120s`, or the time itself where it cannot be reckoned with."""
    try:
        seconds = (datetime.fromisoformat(time) - datetime.fromisoformat(begun)).total_seconds()
    except (TypeError, ValueError):
        return _text(time)
    minutes, rest = divmod(max(seconds, 0.0), 60)
    return f"+{minutes:.0f}m{rest:06.3f}s" if minutes else f"+{rest:.3f}s"


def _of(instance: JsonObject, key: str) -> list[Mapping[str, Any]]:
    found = instance.get(key)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def _text(value: Any) -> str:
    if value is None:
        return ""
    return in_line(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
