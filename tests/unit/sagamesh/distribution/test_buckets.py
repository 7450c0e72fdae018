"""The two buckets and their keys, spelled out: here alone beside `buckets` itself."""

from __future__ import annotations

from typing import Any

import pytest

from sagamesh.distribution import buckets
from sagamesh.distribution.buckets import BucketKey
from sagamesh.errors import UnreadableError
from sagamesh.log.registers import SagaKey
from sagamesh.rules.projection import project
from sagamesh_jetstream.client.memory.subjects import matches
from support.builders import shapes

SECOND = 1_000_000_000

BUCKET: dict[str, Any] = {
    "storage": "file",
    "retention": "limits",
    "num_replicas": 1,
    "max_msgs_per_subject": 1,
    "discard": "new",
    "allow_direct": True,
    "allow_rollup_hdrs": True,
}


@pytest.mark.parametrize(("setting", "value"), BUCKET.items())
def test_both_buckets_are_key_value_buckets_of_one_version_a_key(setting: str, value: object) -> None:
    assert buckets.rules_bucket()[setting] == value
    assert buckets.sidecars_bucket()[setting] == value


@pytest.mark.parametrize("replicas", [1, 3])
def test_both_buckets_take_as_many_replicas_as_they_are_given(replicas: int) -> None:
    assert buckets.rules_bucket(replicas=replicas)["num_replicas"] == replicas
    assert buckets.sidecars_bucket(replicas=replicas)["num_replicas"] == replicas


def test_the_rules_bucket_pushes_what_is_written_and_forgets_nothing() -> None:
    bucket = buckets.rules_bucket()
    assert (bucket["name"], bucket["subjects"]) == ("KV_sagamesh-rules", ["$KV.sagamesh-rules.>"])
    assert bucket["republish"] == {"src": "$KV.sagamesh-rules.>", "dest": "sagamesh.rules.>"}
    assert bucket["max_age"] == 0


def test_the_sidecars_bucket_forgets_who_does_not_report() -> None:
    bucket = buckets.sidecars_bucket()
    assert (bucket["name"], bucket["subjects"]) == ("KV_sagamesh-sidecars", ["$KV.sagamesh-sidecars.>"])
    assert bucket["max_age"] == 90 * SECOND
    assert "republish" not in bucket


def test_keys_of_the_rules_bucket() -> None:
    rules = project(shapes.straight(1))["p-s0"]
    key = f"$KV.sagamesh-rules.default.p-s0.simulated.{rules.revision}"
    assert buckets.rules_subject(rules) == key
    assert buckets.active_subject("default", "app", "simulated") == "$KV.sagamesh-rules.default.app.simulated.active"
    assert buckets.participant_subjects("default", "p-s0") == "$KV.sagamesh-rules.default.p-s0.>"
    assert buckets.pushed_subjects("default", "p-s0") == "sagamesh.rules.default.p-s0.>"


def test_a_bucket_is_a_stream_by_another_name() -> None:
    assert (buckets.RULES_STREAM, buckets.SIDECARS_STREAM) == ("KV_sagamesh-rules", "KV_sagamesh-sidecars")
    assert buckets.bucket_prefix("x") == "$KV.x."
    assert buckets.bucket_keys("x") == "$KV.x.>"


def test_a_key_says_whose_entry_it_is() -> None:
    rules = project(shapes.straight(1))["p-s0"]
    assert buckets.bucket_key_of(buckets.rules_subject(rules)) == ("default", "p-s0", "simulated", rules.revision)
    active, retired = (make("shop", "orders", "checkout") for make in (buckets.active_subject, buckets.retired_subject))
    assert buckets.bucket_key_of(active) == BucketKey("shop", "orders", "checkout", "active")
    assert buckets.bucket_key_of(retired) == BucketKey("shop", "orders", "checkout", "retired")
    assert buckets.saga_of_key(active) == SagaKey("shop", "checkout")
    assert [buckets.is_active_key(key) for key in (active, retired, buckets.rules_subject(rules))] == [
        True,
        False,
        False,
    ]
    assert [buckets.is_retired_key(key) for key in (active, retired, buckets.rules_subject(rules))] == [
        False,
        True,
        False,
    ]


@pytest.mark.parametrize(
    "subject",
    [
        "",
        "x",
        "shop.orders.checkout.active",
        "$KV.sagamesh-rules.shop.orders.checkout",
        "$KV.sagamesh-rules.shop.orders.checkout.0123456789.active",
        "$KV.sagamesh-sidecars.shop.orders.checkout.active",
        "x.$KV.sagamesh-rules.shop.orders.checkout.active",
    ],
)
def test_what_is_no_key_of_the_rules_bucket_is_unreadable(subject: str) -> None:
    with pytest.raises(UnreadableError, match="no key of the rules bucket"):
        buckets.bucket_key_of(subject)


def test_a_saga_s_keys_are_those_of_all_its_participants() -> None:
    every = buckets.saga_subjects("shop", "checkout")
    assert every == "$KV.sagamesh-rules.shop.*.checkout.*"
    assert matches(buckets.retired_subject("shop", "orders", "checkout"), [every])
    assert not matches(buckets.retired_subject("shop", "orders", "refund"), [every])


def test_what_a_participant_reads_is_pushed_to_it_under_the_republished_subject() -> None:
    source, destination = buckets.rules_bucket()["republish"].values()
    read = buckets.participant_subjects("shop", "orders")
    assert read.replace(source[:-1], destination[:-1]) == buckets.pushed_subjects("shop", "orders")


# -- heartbeats ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pod", "token"),
    [
        ("orders-7d4b-x2x", "orders-7d4b-x2x"),
        ("laptop.local", "laptop_local"),
        ("a b*c>d\r\n", "a_b_c_d__"),
        ("é", "_"),
        ("", "_"),
    ],
)
def test_a_heartbeat_has_one_key_whatever_the_pod_is_called(pod: str, token: str) -> None:
    subject = buckets.heartbeat_subject("shop", "orders", pod)
    assert subject == f"$KV.sagamesh-sidecars.shop.orders.{token}"
    assert matches(subject, [buckets.heartbeat_subjects()])
    assert matches(subject, [buckets.heartbeat_subjects("shop")])
    assert not matches(subject, [buckets.heartbeat_subjects("bar")])


def test_two_heartbeats_may_get_lost_before_a_sidecar_counts_as_gone() -> None:
    assert buckets.sidecars_bucket()["max_age"] / SECOND >= buckets.HEARTBEAT_EVERY * 3
