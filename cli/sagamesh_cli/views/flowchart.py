"""A saga as a flowchart in Mermaid's language, for Markdown. Pure; what there is to draw is in `saga_outline`."""

from __future__ import annotations

from sagamesh.language.graph import all_inputs
from sagamesh.language.model import Saga, Step
from sagamesh_cli.views.saga_outline import titles, way_back


def mermaid(saga: Saga) -> str:
    """A flowchart for Markdown: participants around their steps, events on the arrows, the way back dotted."""
    ids = {"_": "start", **{step.name: f"s{index}" for index, step in enumerate(saga.steps, start=1)}}
    title, heard = titles(saga), all_inputs(saga)
    lines = ["flowchart TB", f"  start([{_quoted(f'start by {saga.start.participant}')}])"]
    for index, name in enumerate(dict.fromkeys(step.participant for step in saga.steps), start=1):
        lines += [f"  subgraph p{index}[{_quoted(name)}]"]
        lines += [f"    {_node(ids[s.name], s, title[s.name])}" for s in saga.steps if s.participant == name]
        lines += ["  end"]
    for step in saga.steps:
        for source, events in heard[step.name].items():
            lines += [f"  {ids[source]} -->|{_quoted(event)}| {ids[step.name]}" for event in events]
    lines += _dotted(saga, ids)
    if saga.pivot:
        lines += ["  classDef pivot stroke-width:4px", f"  class {ids[saga.pivot.name]} pivot"]
    return "\n".join(lines)


def _node(name: str, step: Step, title: str) -> str:
    return f"{name}{{{{{_quoted(title)}}}}}" if step.pivot else f"{name}[{_quoted(title)}]"


def _dotted(saga: Saga, ids: dict[str, str]) -> list[str]:
    """From each undone step to those undone next; the first ones come from the pivot, or from `aborted`."""
    first = ids[saga.pivot.name] if saga.pivot else "aborted"
    lines = []
    for undo in way_back(saga):
        sources = [ids[name] for name in undo.after] or [first]
        lines += [f"  {source} -.->|{_quoted(undo.path)}| {ids[undo.step.name]}" for source in sources]
    return ["  aborted([aborted])", *lines] if lines and not saga.pivot else lines


def _quoted(label: str) -> str:
    return '"' + label.replace("#", "#35;").replace('"', "#quot;") + '"'
