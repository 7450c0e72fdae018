"""Wrong versions of distribution, retirement and the operator's loop: edits of their source, applied in memory."""

from __future__ import annotations

from typing import NamedTuple

from sagamesh.distribution import plan
from sagamesh_jetstream.upkeep import lookups, retire
from sagamesh_operator.sagas import reconciler, record
from support.distribution.endings import (
    Ending,
    again,
    amnesia,
    back_and_forth,
    bucketless,
    change,
    cut_off,
    delete,
    early,
    goodbye,
    reconnect,
    relief,
    rush,
)
from support.fakes.edited import Edit


class ProductMutant(NamedTuple):
    """`outline`, `ending`: where it is bound to show. Without an ending: in the storm, or at rest after it."""

    name: str
    outline: str
    ending: Ending | None
    edits: tuple[Edit, ...]


ALONE, MEDDLED = "one operator", "one operator and a meddler"
CROWD, MEDDLED_CROWD = "two operators", "two operators and a meddler"

MUTANTS = (
    ProductMutant(
        "retiring before the fleet is known",
        ALONE,
        early,
        ((reconciler, "if not self._fleet_read:", "if False:"),),
    ),
    ProductMutant(
        "trusting the fleet after a cut",
        ALONE,
        cut_off,
        (
            (
                reconciler,
                "        self._fleet_read = False\n        self._distribute_all",
                "        self._distribute_all",
            ),
        ),
    ),
    ProductMutant(
        "an unknown revision counts as ended",
        MEDDLED,
        amnesia,
        ((retire, "return len(started) - ended", "return len(started) - ended if revisions else 0"),),
    ),
    ProductMutant(
        "created again while retiring",
        ALONE,
        back_and_forth,
        ((reconciler, "if record.resource is not None:  # it was created again meanwhile", "if False:"),),
    ),
    ProductMutant(
        "created again while its end is told",
        ALONE,
        again,
        ((reconciler, "if record.resource is None:  # else it was created again meanwhile", "if True:"),),
    ),
    ProductMutant(
        "status of a deleted saga",
        ALONE,
        back_and_forth,
        ((reconciler, "if not record.is_still(wanted):", "if False:"),),
    ),
    ProductMutant(
        "older news taken",
        ALONE,
        back_and_forth,
        ((record, "if known is not None and int(known.version) > int(seen.version):", "if False:"),),
    ),
    ProductMutant(
        "a late list brings back what was deleted",
        CROWD,
        back_and_forth,
        ((reconciler, "if int(seen.version) <= self._deleted.get(seen.key, 0):", "if False:"),),
    ),
    ProductMutant(
        "no look after a reconnection",
        ALONE,
        reconnect,
        ((reconciler, "self._connected.set()\n            self._distribute_all()", "self._connected.set()"),),
    ),
    ProductMutant(
        "left-overs not retired",
        ALONE,
        relief,
        ((reconciler, "sorted(await left_over(self._js, self._installation) - ", "sorted(set() & "),),
    ),
    ProductMutant(
        "a deleted saga not woken",
        ALONE,
        goodbye,
        (
            (
                record,
                "        if self.resource is None:\n            return True",
                "        if self.resource is None:\n            return False",
            ),
        ),
    ),
    ProductMutant(
        "foreign logs taken for left-overs",
        ALONE,
        None,
        ((retire, "if saga and not _is_foreign(stream, installation):", "if saga:"),),
    ),
    ProductMutant(
        "what belongs to another is retired",
        ALONE,
        None,
        ((retire, "if _is_foreign(log, installation) or _is_foreign(bucket, installation):", "if False:"),),
    ),
    ProductMutant(
        "paging of subjects left out",
        ALONE,
        None,
        ((lookups, 'while info is not None and len(found) < info.get("total", 0):', "while False:"),),
    ),
    ProductMutant(
        "paging of streams left out",
        ALONE,
        bucketless,
        ((retire, 'if offset >= page["total"]:', "if offset:"),),
    ),
    ProductMutant(
        "active moves before the consumers",
        ALONE,
        None,
        (
            (
                plan,
                "(*streams, *_plan_consumers(documents, observed, installation), *puts)",
                "(*streams, *puts, *_plan_consumers(documents, observed, installation))",
            ),
        ),
    ),
    ProductMutant(
        "filters shrink",
        MEDDLED,
        change,
        (
            (
                plan,
                "config = _marked(topology.consumer(participant, needed | heard), installation)",
                "config = _marked(topology.consumer(participant, needed), installation)",
            ),
        ),
    ),
    ProductMutant(
        "a log is deleted without a second count",
        ALONE,
        rush,
        (
            (
                retire,
                "topology.retired_log(config, *key))\n    if await running(js, key, revisions):",
                "topology.retired_log(config, *key))\n    if False:",
            ),
        ),
    ),
    ProductMutant(
        "a log is counted while it takes starts",
        ALONE,
        rush,
        ((retire, 'await ask(js, f"STREAM.UPDATE.{name}", topology.retired_log(config, *key))', ""),),
    ),
    ProductMutant(
        "who is told nothing starts a deleted saga for ever",
        MEDDLED,
        delete,
        ((retire, "sorted(found | (told - entries.keys()))", "sorted(found)"),),
    ),
)
