"""What is to be done, given what stands. `after` plays a server that does it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

import pytest
from msgspec.structs import replace

from sagamesh.distribution.plan import ApiRequest, BucketPut, ForeignStreamError, Observed, plan
from sagamesh.language.model import Action, Compensation, Emit, Saga, StartSpec, Step
from sagamesh.rules.codec import decode_rules
from sagamesh.rules.local import LocalRules
from sagamesh.rules.projection import project

NOTHING = Observed({}, {}, {})
BUCKETS = ["STREAM.CREATE.KV_sagamesh-rules", "STREAM.CREATE.KV_sagamesh-sidecars"]


def step(name: str, participant: str, *on: str) -> Step:
    emits = (Emit(event=f"{name}.done"),)
    undo = Compensation(path=f"/{name}/undo")
    return Step(
        name=name, participant=participant, after=on, action=Action(path=f"/{name}"), emits=emits, compensation=undo
    )


def documents(*steps: Step) -> dict[str, LocalRules]:
    return project(
        Saga(namespace="shop", name="checkout", start=StartSpec(participant="orders", event="go"), steps=steps)
    )


ONE = documents(step("credit", "customers", "go"), step("charge", "payments", "credit.done"))
TWO = documents(
    step("credit", "customers", "go"),
    step("stock", "inventory", "go"),
    step("charge", "payments", "credit.done", "stock.done"),
)
ONE_IS, TWO_IS = ONE["orders"].revision, TWO["orders"].revision


def after(observed: Observed, actions: Iterable[ApiRequest | BucketPut]) -> Observed:
    """What stands once they are done. As the real one, this server adds to what it was asked for."""
    streams, consumers, entries = dict(observed.streams), dict(observed.consumers), dict(observed.entries)
    for action in actions:
        if isinstance(action, BucketPut):
            entries[action.subject] = action.body
        elif action.verb.startswith("STREAM"):
            streams[action.body["name"]] = stored(action.body)
        else:
            consumers[action.body["config"]["name"]] = stored(action.body["config"])
    return Observed(streams, consumers, entries)


def stored(config: Mapping[str, object]) -> dict[str, object]:
    there = json.loads(json.dumps(config))
    return {**there, "sealed": False, "metadata": {**there["metadata"], "_nats.ver": "2.15.1"}}


def told(actions: Iterable[ApiRequest | BucketPut]) -> list[str]:
    return [action.verb if isinstance(action, ApiRequest) else action.subject for action in actions]


def filters(observed: Observed, participant: str) -> set[str]:
    return {
        subject.removeprefix("saga.shop.checkout.*.") for subject in observed.consumers[participant]["filter_subjects"]
    }


def test_a_fresh_server_gets_everything_in_order() -> None:
    assert told(plan(ONE, NOTHING)) == [
        *BUCKETS,
        "STREAM.CREATE.SAGA_shop_checkout",
        "CONSUMER.CREATE.SAGA_shop_checkout.customers",
        "CONSUMER.CREATE.SAGA_shop_checkout.payments",
        f"$KV.sagamesh-rules.shop.orders.checkout.{ONE_IS}",
        f"$KV.sagamesh-rules.shop.customers.checkout.{ONE_IS}",
        f"$KV.sagamesh-rules.shop.payments.checkout.{ONE_IS}",
        "$KV.sagamesh-rules.shop.orders.checkout.active",
    ]


def test_a_consumer_hears_what_its_rules_need() -> None:
    there = after(NOTHING, plan(ONE, NOTHING))
    assert filters(there, "customers") == {"_.start", "_.abort", "charge.compensation"}
    assert filters(there, "payments") == {"credit.end", "_.abort"}
    assert "orders" not in there.consumers, "it owns no step"


def test_each_bears_the_hash_of_what_was_asked_for_which_no_version_may_change() -> None:
    """Or the first start of a new version would ask NATS to change every stream and consumer that there is."""
    made = after(NOTHING, plan(ONE, NOTHING))
    configs = [*made.streams.values(), *made.consumers.values()]
    assert {config["name"]: config["metadata"]["sagamesh.dev/config"] for config in configs} == {
        "KV_sagamesh-rules": "073bbdd495",
        "KV_sagamesh-sidecars": "49505f55fb",
        "SAGA_shop_checkout": "83b99a9e8b",
        "customers": "68a8fb2cd2",
        "payments": "04cba75c77",
    }


@pytest.mark.parametrize(("said", "installation"), [({}, "default"), ({"installation": "ours"}, "ours")])
def test_each_bears_the_name_of_the_installation(said: dict[str, str], installation: str) -> None:
    """By the key that every version looks for: what does not bear it is foreign."""
    made = after(NOTHING, plan(ONE, NOTHING, **said))
    assert {
        config["metadata"]["sagamesh.dev/installation"] for config in (*made.streams.values(), *made.consumers.values())
    } == {installation}


@pytest.mark.parametrize(("said", "replicas"), [({}, 1), ({"replicas": 3}, 3)])
def test_a_new_stream_is_on_as_many_servers_as_is_said(said: dict[str, int], replicas: int) -> None:
    made = after(NOTHING, plan(ONE, NOTHING, **said))
    assert [config["num_replicas"] for config in made.streams.values()] == [replicas] * 3


def test_a_request_for_a_consumer_says_whose_it_is_and_that_it_is_new() -> None:
    asked = [action for action in plan(ONE, NOTHING) if isinstance(action, ApiRequest)]
    said = [(each.body["stream_name"], each.body["action"]) for each in asked if each.verb.startswith("CONSUMER")]
    assert said == [("SAGA_shop_checkout", "create")] * 2


def test_active_holds_the_revision() -> None:
    assert plan(ONE, NOTHING)[-1] == BucketPut("$KV.sagamesh-rules.shop.orders.checkout.active", ONE_IS.encode())


def test_the_same_again_is_nothing_to_do() -> None:
    assert plan(ONE, after(NOTHING, plan(ONE, NOTHING))) == ()


@pytest.mark.parametrize("so_far", range(9))
def test_what_was_interrupted_goes_on_where_it_stopped(so_far: int) -> None:
    whole = plan(ONE, NOTHING)
    assert plan(ONE, after(NOTHING, whole[:so_far])) == whole[so_far:]


def test_a_new_revision_is_heard_before_it_is_active() -> None:
    actions = plan(TWO, after(NOTHING, plan(ONE, NOTHING)))
    assert told(actions) == [
        "CONSUMER.CREATE.SAGA_shop_checkout.inventory",
        "CONSUMER.CREATE.SAGA_shop_checkout.payments",
        f"$KV.sagamesh-rules.shop.inventory.checkout.{ONE_IS}",  # without steps: it will hear of older instances
        f"$KV.sagamesh-rules.shop.orders.checkout.{TWO_IS}",
        f"$KV.sagamesh-rules.shop.customers.checkout.{TWO_IS}",
        f"$KV.sagamesh-rules.shop.inventory.checkout.{TWO_IS}",
        f"$KV.sagamesh-rules.shop.payments.checkout.{TWO_IS}",
        "$KV.sagamesh-rules.shop.orders.checkout.active",
    ]
    assert [action.body["action"] for action in actions if isinstance(action, ApiRequest)] == ["create", "update"]


def test_filters_never_shrink() -> None:
    two = after(NOTHING, plan(TWO, NOTHING))
    back = plan(ONE, two)
    assert not any(isinstance(action, ApiRequest) for action in back)
    assert filters(after(two, back), "payments") == {"credit.end", "stock.end", "_.abort"}


def test_a_filter_that_no_document_asks_for_any_more_stays() -> None:
    there = after(NOTHING, plan(ONE, NOTHING))
    there.consumers["payments"]["filter_subjects"].append("saga.shop.checkout.*.older.end")
    assert filters(after(there, plan(ONE, there)), "payments") == {"credit.end", "older.end", "_.abort"}


def test_a_filter_that_got_lost_is_put_back() -> None:
    there = after(NOTHING, plan(ONE, NOTHING))
    there.consumers["payments"]["filter_subjects"] = [
        "saga.shop.checkout.*._.abort"
    ]  # with our fingerprint still on it
    assert filters(after(there, plan(ONE, there)), "payments") == {"credit.end", "_.abort"}


def test_a_filter_of_an_older_revision_that_got_lost_is_put_back() -> None:
    one = after(NOTHING, plan(ONE, NOTHING))
    two = after(one, plan(TWO, one))
    two.consumers["customers"]["filter_subjects"] = ["saga.shop.checkout.*._.abort"]
    del two.consumers["inventory"]
    back = plan(ONE, two)
    assert told(back)[:2] == [f"CONSUMER.CREATE.SAGA_shop_checkout.{name}" for name in ("customers", "inventory")]
    assert filters(after(two, back), "inventory") == {"_.start", "_.abort", "charge.compensation"}


def test_a_document_of_a_later_version_is_no_obstacle() -> None:
    there = after(NOTHING, plan(ONE, NOTHING))
    later = {"$KV.sagamesh-rules.shop.payments.checkout.0123456789": b'{"format": 2}'}
    assert plan(ONE, Observed(there.streams, there.consumers, {**there.entries, **later})) == ()


def test_another_way_to_make_a_stream_is_an_update_of_it() -> None:
    there = after(NOTHING, plan(ONE, NOTHING))
    for config in there.streams.values():
        config["metadata"]["sagamesh.dev/config"] = "of-a-version-before"
    there.streams["SAGA_shop_checkout"]["num_replicas"] = 3
    actions = plan(ONE, there)
    assert told(actions) == [
        "STREAM.UPDATE.KV_sagamesh-rules",
        "STREAM.UPDATE.KV_sagamesh-sidecars",
        "STREAM.UPDATE.SAGA_shop_checkout",
    ]
    assert isinstance(actions[-1], ApiRequest)
    assert actions[-1].body["num_replicas"] == 3, "an administrator's choice"


@pytest.mark.parametrize("name", ["KV_sagamesh-rules", "KV_sagamesh-sidecars", "SAGA_shop_checkout"])
def test_a_foreign_stream_is_refused(name: str) -> None:
    there = after(NOTHING, plan(ONE, NOTHING, installation="theirs"))
    with pytest.raises(ForeignStreamError, match=f"{name} belongs to the installation 'theirs', this is .* 'ours'"):
        plan(ONE, Observed({name: there.streams[name]}, {}, {}), installation="ours")


def test_a_stream_that_nobody_marked_is_foreign_too() -> None:
    with pytest.raises(ForeignStreamError, match="was not made by Sagamesh"):
        plan(ONE, Observed({"SAGA_shop_checkout": {"name": "SAGA_shop_checkout"}}, {}, {}))


def test_documents_of_two_revisions_are_not_mixed() -> None:
    with pytest.raises(ValueError, match="one revision of one saga"):
        plan({**ONE, "payments": TWO["payments"]}, NOTHING)
    with pytest.raises(ValueError, match="one revision of one saga"):
        plan({name: replace(rules, revision="") for name, rules in ONE.items()}, NOTHING)


def test_who_started_the_saga_before_starts_it_no_more() -> None:
    stands = after(NOTHING, plan(ONE, NOTHING))
    moved = Saga(
        namespace="shop",
        name="checkout",
        start=StartSpec(participant="customers", event="go"),
        steps=(step("credit", "customers", "go"),),
    )
    actions = plan(project(moved), stands)
    entries = after(stands, actions).entries
    active = {subject: body for subject, body in entries.items() if subject.endswith(".checkout.active")}
    assert active == {
        "$KV.sagamesh-rules.shop.orders.checkout.active": b"",
        "$KV.sagamesh-rules.shop.customers.checkout.active": project(moved)["customers"].revision.encode(),
    }
    assert told(actions)[-1].endswith("customers.checkout.active")
    assert plan(project(moved), after(stands, actions)) == ()


def test_those_whom_a_revision_does_without_get_rules_without_steps() -> None:
    stands = after(NOTHING, plan(ONE, NOTHING))
    entries = after(stands, plan(TWO, stands)).entries
    idle = decode_rules(entries[f"$KV.sagamesh-rules.shop.inventory.checkout.{ONE_IS}"])
    assert (idle.participant, idle.revision, idle.own) == ("inventory", ONE_IS, ())
    again = after(after(stands, plan(TWO, stands)), plan(ONE, after(stands, plan(TWO, stands))))
    assert plan(ONE, again) == ()


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("stream", {"discard_new_per_subject": False}),
        ("stream", {"max_msgs_per_subject": -1}),
        ("stream", {"max_age": 1}),
        ("consumer", {"max_deliver": 3}),
        ("consumer", {"max_ack_pending": 1}),
    ],
)
def test_what_somebody_has_loosened_is_tightened_again(kind: str, change: dict[str, object]) -> None:
    stands = after(NOTHING, plan(ONE, NOTHING))
    configs = dict(stands.streams if kind == "stream" else stands.consumers)
    name = "SAGA_shop_checkout" if kind == "stream" else "payments"
    configs[name] = {**configs[name], **change}
    loosened = stands._replace(**{"streams" if kind == "stream" else "consumers": configs})
    [mended] = plan(ONE, loosened)
    assert isinstance(mended, ApiRequest)
    # F44: what somebody has loosened is tightened again
    assert plan(ONE, after(loosened, [mended])) == ()


def test_what_an_administrator_may_change_stays() -> None:
    stands = after(NOTHING, plan(ONE, NOTHING))
    log = {**stands.streams["SAGA_shop_checkout"], "num_replicas": 3, "max_bytes": 10**12}
    assert plan(ONE, stands._replace(streams={**stands.streams, "SAGA_shop_checkout": log})) == ()
