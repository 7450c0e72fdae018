"""What `sagamesh doctor` makes of what it sees, how it says so, and when it exits with 1."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from sagamesh_cli.views.doctor_checks import (
    Check,
    Level,
    buckets,
    definition,
    is_busy,
    lines,
    pace,
    sagas,
    servers,
    succeeded,
    sync,
    unseen_pace,
)
from sagamesh_operator import crd

OURS = crd.resource()
STANDS = {**OURS, "status": {"conditions": [{"type": "Established", "status": "True"}]}}


def version(found: dict[str, Any]) -> dict[str, Any]:
    one: dict[str, Any] = found["spec"]["versions"][0]
    return one


def field(found: dict[str, Any]) -> dict[str, Any]:
    """The properties of the spec."""
    properties: dict[str, Any] = version(found)["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    return properties


def judged(found: dict[str, Any] | None) -> list[tuple[Level, str]]:
    return [(check.level, check.found) for check in definition(found, OURS, "v1alpha1")]


def test_the_definition_that_we_know() -> None:
    assert judged(STANDS) == [(Level.OK, ""), (Level.OK, ""), (Level.OK, "")]


def test_without_a_definition_nothing_more_is_looked_at() -> None:
    assert judged(None) == [(Level.FAILURE, "it is not")]


def test_one_that_is_not_established() -> None:
    assert judged(OURS)[1] == (Level.FAILURE, "it is not established")


def test_one_that_does_not_serve_our_version() -> None:
    found = copy.deepcopy(STANDS)
    version(found)["served"] = False
    assert judged(found)[1] == (Level.FAILURE, "v1alpha1 is not served")
    version(found)["name"] = "v1"
    assert judged(found)[1:] == [(Level.FAILURE, "v1alpha1 is not served")]


def test_which_definition_is_older_is_told_by_its_fields() -> None:
    found = copy.deepcopy(STANDS)
    del field(found)["parkAfter"]
    assert judged(found)[2] == (Level.WARNING, "the cluster's is older: it lacks spec.parkAfter")
    found = copy.deepcopy(STANDS)
    field(found)["priority"] = {"type": "string"}
    assert judged(found)[2] == (Level.WARNING, "the cluster's is newer: it has spec.priority as well")
    field(found)["parkAfter"]["maxLength"] = 3
    del field(found)["priority"]
    assert judged(found)[2][1].startswith("they differ")


def test_words_and_what_the_api_server_leaves_out_make_no_difference() -> None:
    found = copy.deepcopy(STANDS)
    field(found)["parkAfter"]["description"] = "another"
    field(found)["parkAfter"]["nullable"] = False
    assert judged(found)[2] == (Level.OK, "")


def saga(name: str, generation: int = 1, **conditions: str) -> dict[str, Any]:
    told = [{"type": kind, "status": status} for kind, status in conditions.items()]
    return {
        "metadata": {"namespace": "shop", "name": name, "generation": generation},
        "status": {"observedGeneration": 1, "conditions": told},
    }


GOOD = {"Accepted": "True", "Ready": "True", "Stalled": "False"}


def test_sagas_that_are_well() -> None:
    assert {check.level for check in sagas([])} == {Level.OK}
    assert {check.level for check in sagas([saga("a", **GOOD)])} == {Level.OK}


def test_each_saga_is_named_once_by_what_is_worst() -> None:
    documents = [
        saga("good", **GOOD),
        saga("unseen", generation=2, **GOOD),
        saga("refused", Accepted="False", Ready="False", Stalled="True"),
        saga("stuck", Accepted="True", Ready="False", Stalled="True"),
        saga("waits", Accepted="True", Ready="Unknown", Stalled="False"),
    ]
    assert [(check.level, check.found) for check in sagas(documents)] == [
        (Level.WARNING, "not shop/unseen"),
        (Level.FAILURE, "not shop/refused"),
        (Level.FAILURE, "not shop/stuck"),
        (Level.WARNING, "not shop/waits"),
    ]


def test_of_many_sagas_five_are_named() -> None:
    found = next(iter(sagas([saga(f"s{n}", generation=2) for n in range(7)]))).found
    assert found == "not shop/s0, shop/s1, shop/s2, shop/s3, shop/s4 and 2 more"


def bucket(owner: str | None = "x", replicas: int = 1) -> dict[str, Any]:
    metadata = {"sagamesh.dev/installation": owner} if owner else {}
    return {"config": {"num_replicas": replicas, "metadata": metadata}}


@pytest.mark.parametrize(
    ("said", "replicas", "level"),
    [
        ({}, 1, Level.WARNING),
        ({"cluster": "c", "connect_urls": ["a", "b", "c"]}, 1, Level.OK),
        ({"cluster": "c", "connect_urls": ["a", "b"]}, 1, Level.WARNING),
        ({"cluster": "c"}, 3, Level.OK),
        ({"cluster": "c"}, 1, Level.SKIPPED),
    ],
    ids=["alone", "three", "two", "three that hold a bucket", "servers that do not say"],
)
def test_how_many_servers_there_are(said: dict[str, Any], replicas: int, level: Level) -> None:
    assert servers(said, [bucket(), bucket(replicas=replicas)]).level is level


def test_how_many_servers_there_are_without_a_bucket() -> None:
    assert servers({}, []).found == "it has 1"


def whose(installation: str | None, **found: dict[str, Any] | None) -> list[tuple[Level, str]]:
    return [(check.level, check.found) for check in buckets(found, installation)]


def test_whose_the_buckets_are() -> None:
    assert whose("x", a=bucket()) == [(Level.OK, "it belongs to the installation x")]
    assert whose(None, a=bucket()) == [(Level.OK, "it belongs to the installation x")]
    assert whose("x", a=None) == [(Level.WARNING, "not yet")]
    assert whose("x", a=bucket(None)) == [(Level.FAILURE, "it was not made by Sagamesh")]
    assert whose("y", a=bucket())[1] == (Level.WARNING, "the cluster is y")
    assert whose("x", a=bucket(), b=bucket("y"))[2] == (Level.FAILURE, "to x, y")


def test_what_cannot_be_seen_is_not_guessed() -> None:
    assert (sync().level, sync().found) == (Level.SKIPPED, "not visible")


@pytest.mark.parametrize(
    ("paces", "takes", "level", "found"),
    [
        ({"SAGA_a_b": 0.0}, 0.0, Level.OK, "in this second SAGA_a_b took 0 registers, the most of all"),
        ({"SAGA_a_b": 99.4, "SAGA_a_c": 1.0}, 0.0, Level.OK, "SAGA_a_b took 99 registers, the most of all"),
        ({"SAGA_a_b": 1.0, "SAGA_a_c": 1499.0}, 1 / 3000, Level.OK, "SAGA_a_c took 1499 registers"),
        ({"SAGA_a_b": 1500.0, "SAGA_a_c": 2.0}, 1 / 3000, Level.WARNING, "this server can sync some 3,000"),
        ({"SAGA_a_b": 100.0}, 0.006, Level.WARNING, "this server can sync some 167"),
    ],
)
def test_how_near_a_log_on_a_lone_server_is_to_its_limit(
    paces: dict[str, float], takes: float, level: Level, found: str
) -> None:
    [check] = pace(paces, takes)
    assert check.level is level
    assert found in check.found
    assert bool(check.hint) is (level is Level.WARNING)
    assert is_busy(paces) is (takes > 0), "else it is not measured"


def test_where_three_servers_hold_every_log_nothing_is_said_of_a_limit() -> None:
    assert [*pace({}, 0.0)] == []
    assert not is_busy({})
    assert unseen_pace("no rights").found == "not visible: no rights"


CHECKS = [
    Check("cluster", "the API server answers", Level.OK, "v1.36.2"),
    Check("cluster", "none is stalled", Level.FAILURE, "not shop/a", "look\x1b[2J"),
    Check("nats", "NATS", Level.SKIPPED, "name a server"),
]


def test_checks_as_lines() -> None:
    assert lines(CHECKS) == [
        "cluster",
        "  ok       the API server answers: v1.36.2",
        "  failure  none is stalled: not shop/a",
        "           look\\u001b[2J",
        "",
        "nats",
        "  skipped  NATS: name a server",
    ]


@pytest.mark.parametrize("level", Level)
def test_only_a_failure_fails(level: Level) -> None:
    assert succeeded([CHECKS[0], Check("nats", "", level)]) is (level is not Level.FAILURE)
