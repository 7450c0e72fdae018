"""An instance as people see it: a headline, its steps, its timeline. Pure text out of what the API answers.

The API may be of another version, or no API at all: whatever it says is shown as it is, and what it lacks is left out.
Whoever asks it is `client`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sagamesh_cli.output import in_line, paint, table

COLOURS = {
    **dict.fromkeys(("completed", "committed", "done"), "green"),
    **dict.fromkeys(("compensated", "aborted", "failed"), "red"),
    **dict.fromkeys(("aborting", "compensating", "cancelled"), "yellow"),
}
"""Of states, and of values of registers."""
CAUSES = {
    "refused": "was refused",
    "unknown": "failed",
    "expression": "has an expression that cannot be evaluated",
    "cancelled": "was cancelled",
}

MOMENTS = {"ENDED": "end", "UNDONE": "compensation"}
"""A title, and the register that is meant."""

InstanceDocument = Mapping[str, Any]
"""What the API says of an instance."""


def full_name(instance: InstanceDocument) -> str:
    """`checkout/o-17`."""
    return f"{_text(instance.get('saga'))}/{_text(instance.get('id'))}"


def headline(instance: InstanceDocument) -> str:
    """What has become of it, and why: one line."""
    state = _text(instance.get("state"))
    parts = [paint(full_name(instance), bold=True), paint(state, COLOURS.get(state), bold=True)]
    if instance.get("parked"):
        parts.append(paint("parked", "red", bold=True))
    elif instance.get("slow"):
        parts.append(paint("slow", "yellow", bold=True))
    if cause := instance.get("cause"):
        parts.append(f"because {_cause(cause)}")
    return " ".join(parts)


def started(instance: InstanceDocument, more: str) -> str:
    """That an event has started it, and how to see more of it. `more`: options that the command for it needs."""
    how = "had been started before, with the same data" if instance.get("duplicate") else "started"
    saga, name = _text(instance.get("saga")), _text(instance.get("id"))
    return f"{full_name(instance)} {how}\n  see what happens: sagamesh trace {saga} {name} --wait 30s{more}"


def details(instance: InstanceDocument, *, wide: bool = False) -> list[str]:
    """Headline, facts, and the state of each step; `wide`: also when each ended, and was undone."""
    facts = [(key, _text(instance.get(key)) or "-") for key in ("run", "revision", "started", "finished")]
    return [headline(instance), *(f"  {fact}" for fact in table(facts)), "", *_steps(instance, wide=wide)]


def timeline(instance: InstanceDocument) -> list[str]:
    """One line for each register, with the time since the start."""
    moments = _items(instance, "timeline")
    titles = ("TIME", "STEP", "REGISTER", "VALUE", "BY")
    begun = instance.get("started")
    rows = [
        [_since(begun, moment.get("time")), *(_text(moment.get(title.lower())) for title in titles[1:])]
        for moment in moments
    ]
    head, *lines = table([titles, *rows])
    return [paint(head, dim=True), *(paint(line, COLOURS.get(row[3])) for row, line in zip(rows, lines, strict=True))]


def _cause(cause: Any) -> str:
    """As a sentence: `reserve-credit was refused: INSUFFICIENT_CREDIT`."""
    if not isinstance(cause, Mapping):
        return _text(cause)
    who = _text(cause.get("step") or "it")
    what = CAUSES.get(_text(cause.get("kind")))
    reason = _text(cause.get("reason"))
    return f"{who} {what or _text(cause.get('kind'))}" + (f": {reason}" if reason else "")


def _steps(instance: InstanceDocument, *, wide: bool) -> list[str]:
    titles = ("STEP", "PARTICIPANT", "STATE", "EVENT", "CALLS", "REASON")
    rows = [
        [_text(step.get(key)) for key in ("name", *map(str.lower, titles[1:]))] for step in _items(instance, "steps")
    ]
    shown = [(*row[:-1], *_moments(instance, row[0]), row[-1]) if wide else tuple(row) for row in rows]
    head, *lines = table([(*titles[:-1], *MOMENTS, titles[-1]) if wide else titles, *shown])
    return [paint(head, dim=True), *(paint(line, COLOURS.get(row[2])) for row, line in zip(rows, lines, strict=True))]


def _moments(instance: InstanceDocument, step: str) -> Iterable[str]:
    """When the registers of a step were written that `MOMENTS` names, since the start."""
    own = [moment for moment in _items(instance, "timeline") if _text(moment.get("step")) == step]
    times = {_text(moment.get("register")): moment.get("time") for moment in own}
    return (_since(instance.get("started"), times.get(register)) for register in MOMENTS.values())


def _since(begun: Any, time: Any) -> str:
    """`+0.120s`, or the time itself where it cannot be reckoned with."""
    try:
        seconds = (datetime.fromisoformat(time) - datetime.fromisoformat(begun)).total_seconds()
    except (TypeError, ValueError):
        return _text(time)
    minutes, rest = divmod(max(seconds, 0.0), 60)
    return f"+{minutes:.0f}m{rest:06.3f}s" if minutes else f"+{rest:.3f}s"


def _items(instance: InstanceDocument, key: str) -> list[Mapping[str, Any]]:
    items = instance.get(key)
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _text(value: Any) -> str:
    if value is None:
        return ""
    return in_line(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
