"""What `sagamesh doctor` makes of what it sees: checks, each with a hint where something is wrong. No I/O.

What cannot be seen is said to be so, and never guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any

from msgspec import Struct

from sagamesh.api_group import CRD
from sagamesh.distribution.plan import installation_of
from sagamesh.text import listed
from sagamesh_cli.output import in_line, paint
from sagamesh_jetstream.client.ports import JsonObject

CLUSTER, NATS = "cluster", "nats"
INSTALL = "by the chart (docs/install.md), or alone: kubectl apply --server-side -f manifests/crds.yaml"
PACE = "each log on a lone server is far from its limit"
BUSY = 100.0
"""Registers a second from which on it is measured how many a server can sync: any disk can do as many."""
NEAR = 0.5
"""Of what it can sync: whoever is at half of it in this second is at all of it in a busy one."""
SERVERS = 3
"""With so many a log survives the loss of one: two of three are a majority."""


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"
    SKIPPED = "skipped"


COLOURS = {Level.OK: "green", Level.WARNING: "yellow", Level.FAILURE: "red"}


class Check(Struct, frozen=True):
    """`what` was looked at, what was found, and what to do about it."""

    group: str
    what: str
    level: Level
    found: str = ""
    hint: str = ""


def succeeded(checks: Iterable[Check]) -> bool:
    """Warnings are allowed."""
    return all(check.level is not Level.FAILURE for check in checks)


def lines(checks: Sequence[Check]) -> list[str]:
    """By group, one line a check, and a hint below what is wrong."""
    told: list[str] = []
    for group in dict.fromkeys(check.group for check in checks):
        told += ["", paint(group, bold=True)] if told else [paint(group, bold=True)]
        for check in (check for check in checks if check.group == group):
            what_is = f": {in_line(check.found)}" if check.found else ""
            told.append(f"  {paint(f'{check.level:7}', COLOURS.get(check.level))}  {check.what}{what_is}")
            told += [f"           {in_line(check.hint)}"] if check.hint else []
    return told


# -- the cluster


def definition(installed: JsonObject | None, ours: JsonObject, version: str) -> Iterator[Check]:
    """The Saga definition as it is installed (None: it is not), beside the one that this command line knows."""
    what, hint = "the Saga definition is installed", f"install it {INSTALL}"
    if installed is None:
        yield Check(CLUSTER, what, Level.FAILURE, "it is not", hint)
        return
    yield Check(CLUSTER, what, Level.OK)
    yield _served(installed, version)
    theirs, wanted = _version(installed, version), _version(ours, version)
    if theirs is not None and wanted is not None:
        yield _compared(theirs, wanted)


def _served(installed: JsonObject, version: str) -> Check:
    what = f"it is established and serves {version}"
    conditions = (installed.get("status") or {}).get("conditions") or ()
    established = any(each["type"] == "Established" and each["status"] == "True" for each in conditions)
    served = (_version(installed, version) or {}).get("served", False)
    if established and served:
        return Check(CLUSTER, what, Level.OK)
    why = f"{version} is not served" if established else "it is not established"
    return Check(CLUSTER, what, Level.FAILURE, why, f"kubectl describe crd {CRD}")


def _compared(theirs: JsonObject, ours: JsonObject) -> Check:
    """Which is older, by the fields that only one of them has."""
    what = "it is the one that this command line knows"
    there, here = theirs["schema"]["openAPIV3Schema"], ours["schema"]["openAPIV3Schema"]
    if _plain(there) == _plain(here):
        return Check(CLUSTER, what, Level.OK)
    more, fewer = set(_fields(there)) - set(_fields(here)), set(_fields(here)) - set(_fields(there))
    if fewer and not more:
        return Check(
            CLUSTER,
            what,
            Level.WARNING,
            f"the cluster's is older: it lacks {listed(sorted(fewer))}",
            f"update it {INSTALL}",
        )
    if more and not fewer:
        hint = "update the command line"
        return Check(
            CLUSTER, what, Level.WARNING, f"the cluster's is newer: it has {listed(sorted(more))} as well", hint
        )
    hint = "use the command line and the operator of one release"
    return Check(CLUSTER, what, Level.WARNING, "they differ, and neither has fields that the other lacks", hint)


def _version(definition: JsonObject, version: str) -> JsonObject | None:
    return next((each for each in definition["spec"]["versions"] if each["name"] == version), None)


def _fields(schema: Any, path: str = "") -> Iterator[str]:
    """Paths of all fields."""
    for name, field in (schema.get("properties") or {}).items():
        yield f"{path}{name}"
        yield from _fields(field, f"{path}{name}.")
    if "items" in schema:
        yield from _fields(schema["items"], path)


def _plain(value: Any) -> Any:
    """Without descriptions, which change nothing, and without what the API server leaves out: false and empty."""
    if isinstance(value, Mapping):
        plain = {
            key: _plain(each) for key, each in value.items() if not (key == "description" and isinstance(each, str))
        }
        return {key: each for key, each in plain.items() if each or key == "default"}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def sagas(documents: Sequence[JsonObject]) -> Iterator[Check]:
    """What the operator says of them."""
    unseen = [_name(each) for each in documents if not _is_seen(each)]
    refused = [_name(each) for each in documents if _status(each, "Accepted") == "False"]
    stalled = [_name(each) for each in documents if _status(each, "Stalled") == "True" and _name(each) not in refused]
    others = {*unseen, *refused, *stalled}
    waiting = [_name(each) for each in documents if _status(each, "Ready") != "True" and _name(each) not in others]
    yield _none(unseen, "the operator has looked at every Saga", Level.WARNING, "is it running, and may it list them?")
    yield _none(refused, "every Saga is accepted", Level.FAILURE, "sagamesh get SAGA says what is wrong with it")
    yield _none(stalled, "none is stalled", Level.FAILURE, "sagamesh get SAGA says what is in the way")
    yield _none(waiting, "every other Saga is ready", Level.WARNING, "sagamesh get SAGA says what it waits for")


def _none(names: Sequence[str], what: str, level: Level, hint: str) -> Check:
    """Well, unless there are some."""
    return (
        Check(CLUSTER, what, level, f"not {listed(sorted(names))}", hint) if names else Check(CLUSTER, what, Level.OK)
    )


def _name(saga: JsonObject) -> str:
    return f"{saga['metadata']['namespace']}/{saga['metadata']['name']}"


def _is_seen(saga: JsonObject) -> bool:
    return bool((saga.get("status") or {}).get("observedGeneration") == saga["metadata"]["generation"])


def _status(saga: JsonObject, kind: str) -> str:
    conditions = (saga.get("status") or {}).get("conditions") or ()
    return next((str(each["status"]) for each in conditions if each["type"] == kind), "")


# -- NATS


def servers(said: JsonObject, buckets: Iterable[JsonObject]) -> Check:
    """How many there are, by what the server says of itself, and by how many hold a bucket."""
    what = "NATS has three servers"
    replicas = max((bucket["config"].get("num_replicas", 1) for bucket in buckets), default=1)
    known = max(replicas, len(said.get("connect_urls") or ()))
    if known >= SERVERS:
        return Check(NATS, what, Level.OK)
    if said.get("cluster") and known < 2:
        return Check(NATS, what, Level.SKIPPED, "not visible: the servers do not tell of one another")
    hint = "what a lone server's disk loses is lost (replicas: 1); use a cluster of three"
    return Check(NATS, what, Level.WARNING, f"it has {known}", hint)


def buckets(infos: Mapping[str, JsonObject | None], installation: str | None) -> Iterator[Check]:
    """The buckets by name (None: it is not there). `installation`: the cluster's own identity; None: not known."""
    for name, info in infos.items():
        what = f"there is the bucket {name}"
        if info is None:
            yield Check(
                NATS, what, Level.WARNING, "not yet", "the operator makes it with the first Saga that it accepts"
            )
        elif (owner := installation_of(info["config"])) is None:
            hint = "give Sagamesh a NATS account of its own"
            yield Check(NATS, what, Level.FAILURE, "it was not made by Sagamesh", hint)
        else:
            yield Check(NATS, what, Level.OK, f"it belongs to the installation {owner}")
    owners = sorted(
        {owner for info in infos.values() if info is not None and (owner := installation_of(info["config"]))}
    )
    if len(owners) > 1:
        hint = "give each installation a NATS account of its own"
        yield Check(NATS, "they belong to one installation", Level.FAILURE, f"to {listed(owners)}", hint)
    elif owners and installation is not None and owners != [installation]:
        hint = f"right, if the operator is set to SAGAMESH_INSTALLATION={owners[0]}; else it refuses this NATS"
        told = f"the cluster is {installation}"
        yield Check(NATS, "they belong to this cluster's installation", Level.WARNING, told, hint)


def sync() -> Check:
    """No client is told it."""
    hint = "see `sync_always` at /jsz of the server's monitoring port: without it a power cut loses what was accepted"
    return Check(NATS, "NATS syncs before it confirms (sync_interval: always)", Level.SKIPPED, "not visible", hint)


def is_busy(paces: Mapping[str, float]) -> bool:
    """Whether it matters how fast the server is. `paces`: log on a lone server -> registers a second."""
    return max(paces.values(), default=0.0) >= BUSY


def pace(paces: Mapping[str, float], takes: float) -> Iterator[Check]:
    """How near the busiest log is to what a lone server can sync. `takes`: seconds for one write, where one is busy."""
    if not paces:
        return
    name, fast = max(paces.items(), key=lambda each: each[1])
    found = f"in this second {name} took {fast:.0f} registers, the most of all"
    if not is_busy(paces):
        yield Check(NATS, PACE, Level.OK, found)
        return
    found += f"; this server can sync some {1 / takes:,.0f}"
    near = fast * takes >= NEAR
    hint = "three servers sync many at once: docs/operations.md#one-server-or-three" if near else ""
    yield Check(NATS, PACE, Level.WARNING if near else Level.OK, found, hint)


def unseen_pace(why: str) -> Check:
    """Somebody may look at logs, or write, who is not the one that asks."""
    return Check(NATS, PACE, Level.SKIPPED, f"not visible: {why}")
