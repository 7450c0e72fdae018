"""What is told of pods that were given a sidecar, or refused: an Event about who made them. Pure; time is handed in.

The pod itself is not there yet, and may never be; its maker (a ReplicaSet, a Job) is, and whoever looks at it should
find why it makes no pods. Where a pod has no maker, whoever creates it reads the answer, and no Event is needed.

What happens again is no new Event but a *series*: the count of the one that stands grows, and not at each pod. So a
Deployment of a hundred replicas is one Event, and is changed about once a minute while its pods come.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sagamesh.api_group import INJECTOR
from sagamesh_jetstream.client.ports import JsonObject
from sagamesh_operator.event import event, precise
from sagamesh_operator.resource import Note

MOST = 512
"""Series that are kept: of a node's restart all, and each is some hundred bytes."""
QUIET = timedelta(minutes=6)
"""After so long what comes again is a new Event, as with Kubernetes' own reporters."""
PAUSE = timedelta(minutes=1)
"""Between two changes of one Event."""
LONGEST_MAKER = 200
"""Characters of its maker's name in the name of an Event, which has 253 at most."""

SeriesKey = tuple[str, Note]
"""The uid of a maker, and what is told of it."""


class Remark(NamedTuple):
    """What is to be told. `maker`: the reference to who made the pod, as Events have it."""

    maker: JsonObject
    note: Note

    @property
    def key(self) -> SeriesKey:
        return self.maker["uid"], self.note


def remark(asked: Mapping[str, Any], note: Note) -> Remark | None:
    """About a pod under review. None: a trial run, which must leave no trace, or nobody made the pod but a person.

    Never raises, whatever stands there: what is told decides nothing.
    """
    try:
        if asked.get("dryRun"):
            return None
        owners = asked["object"]["metadata"]["ownerReferences"]
        maker = next(each for each in owners if each.get("controller"))
        named = {field: str(maker[field]) for field in ("apiVersion", "kind", "name", "uid")}
        return Remark({**named, "namespace": str(asked["namespace"])}, note)
    except (StopIteration, KeyError, TypeError, AttributeError):
        return None


@dataclass(slots=True)
class Series:
    """One Event: how often its remark was heard, and how often it is told to have been. `name`: the Event's."""

    remark: Remark
    name: str
    first: datetime
    last: datetime
    heard: int = 1
    told: int = 0
    told_at: datetime | None = None


class DueEvent(NamedTuple):
    """What is to be written. `document`: a new Event; None: `series` is to be told of the one that stands."""

    key: SeriesKey
    namespace: str
    name: str
    heard: int
    document: JsonObject | None
    series: JsonObject | None


class Journal:
    """What was heard, and which of it is to be written now. `reporter`: which process this is.

    When full it forgets what was silent for longest, and when that comes again, it is told as something new.
    """

    def __init__(self, reporter: str) -> None:
        self._reporter = reporter
        self._series: dict[SeriesKey, Series] = {}  # who was heard last stands last

    def hear(self, remark: Remark, now: datetime) -> None:
        series = self._series.pop(remark.key, None)
        if series is None or now - series.last >= QUIET:
            series = Series(remark, _name(remark.maker["name"], now), now, now)
            if len(self._series) >= MOST:
                del self._series[next(iter(self._series))]
        else:
            series.heard += 1
            series.last = now
        self._series[remark.key] = series

    def due(self, now: datetime) -> list[DueEvent]:
        """What is to be written now. What is over is forgotten; if it is not told by now, it is no news any more."""
        over = [key for key, each in self._series.items() if now - each.last >= QUIET]
        for key in over:
            del self._series[key]
        return [self._entry(each) for each in self._series.values() if _is_due(each, now)]

    def written(self, entry: DueEvent, now: datetime) -> None:
        if series := self._series.get(entry.key):
            series.told, series.told_at = entry.heard, now

    def drop(self, entry: DueEvent) -> None:
        """It cannot be written: the Event is gone, or nobody wants it."""
        self._series.pop(entry.key, None)

    def _entry(self, each: Series) -> DueEvent:
        maker, note = each.remark
        namespace = maker["namespace"]
        series = {"count": each.heard, "lastObservedTime": precise(each.last)} if each.heard > 1 else None
        document = None
        if not each.told:
            metadata = {"name": each.name, "namespace": namespace}
            how = {"action": "Inject", "reporter": INJECTOR, "instance": self._reporter}
            document = event(metadata, maker, note, each.first, **how) | ({"series": series} if series else {})
        return DueEvent(each.remark.key, namespace, each.name, each.heard, document, series)


def _name(maker: str, now: datetime) -> str:
    """As the custom is: its maker and the moment, so that no two are the same."""
    return f"{maker[:LONGEST_MAKER].rstrip('.-')}.{int(now.timestamp() * 1_000_000):x}"


def _is_due(each: Series, now: datetime) -> bool:
    return each.told_at is None or (each.heard > each.told and now - each.told_at >= PAUSE)
