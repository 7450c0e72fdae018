"""What a call carries, byte for byte. Apps keep books by these headers: what is golden here must never change."""

from __future__ import annotations

import itertools
import json
import re

import pytest
from msgspec import Raw

from sagamesh.language.model import Saga
from sagamesh.log import registers
from sagamesh.log.registers import ABORT, START, Cause, Done, Instance, Name, Notice, Satisfied, Started, Value
from sagamesh.protocol.answers import MAX_DATA
from sagamesh.protocol.binding import unescaped
from sagamesh.protocol.calls import action, compensation, headers, idempotency_key
from sagamesh.protocol.effects import Call, Delivery, Known
from support.builders import shapes
from support.builders.attempts import INSTANCE, rules_for, start, step, stored

PLACE = Instance("shop", "checkout", "o-1")
RUN = "5b2e0c9d1f3a4b6c"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

ACTION = """\
content-type: application/json
ce-specversion: 1.0
ce-id: 5b2e0c9d1f3a4b6c/reserve-stock/action
ce-source: /sagamesh/shop/checkout
ce-type: order.placed
ce-correlationid: 5b2e0c9d1f3a4b6c
idempotency-key: "shop/checkout/o-1/5b2e0c9d1f3a4b6c/reserve-stock/action"
saga-name: checkout
saga-id: o-1
saga-run: 5b2e0c9d1f3a4b6c
saga-step: reserve-stock
saga-attempt: 1
ce-causationid: order-4711
traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
"""
COMPENSATION = """\
content-type: application/json
ce-specversion: 1.0
ce-id: 5b2e0c9d1f3a4b6c/reserve-stock/compensation
ce-source: /sagamesh/shop/checkout
ce-type: order.placed
ce-correlationid: 5b2e0c9d1f3a4b6c
idempotency-key: "shop/checkout/o-1/5b2e0c9d1f3a4b6c/reserve-stock/compensation"
saga-name: checkout
saga-id: o-1
saga-run: 5b2e0c9d1f3a4b6c
saga-step: reserve-stock
saga-attempt: 3
ce-causationid: 5b2e0c9d1f3a4b6c/charge-card
saga-end: done
"""

ACT = Call("action", "/stock/reserve", b"{}", 5.0, "order.placed", caused_by="order-4711")
UNDO = Call("compensation", "/stock/release", b"{}", 5.0, "order.placed", "done", f"{RUN}/charge-card")


def written(carried: dict[str, str]) -> str:
    return "".join(f"{name}: {value}\n" for name, value in carried.items())


def test_the_headers_of_an_action() -> None:
    assert written(headers(ACT, PLACE, RUN, "reserve-stock", delivered=1, trace=TRACE)) == ACTION


def test_the_headers_of_a_compensation() -> None:
    assert written(headers(UNDO, PLACE, RUN, "reserve-stock", delivered=3)) == COMPENSATION


def test_a_compensation_says_how_the_action_ended() -> None:
    failed = Call("compensation", "/stock/release", b"{}", 5.0, "order.placed", "failed")
    assert headers(failed, PLACE, RUN, "reserve-stock", delivered=1)["saga-end"] == "failed"


def test_the_key_is_the_same_for_every_try_whatever_else_a_call_carries() -> None:
    late = Call("action", "/elsewhere", b'{"newer": true}', 1.0, "other.event")
    tries = [headers(ACT, PLACE, RUN, "s", delivered=1), headers(late, PLACE, RUN, "s", delivered=9, trace=TRACE)]
    assert {carried["idempotency-key"] for carried in tries} == {f'"{idempotency_key(PLACE, RUN, "s", "action")}"'}


@pytest.mark.parametrize("part", range(6))
def test_the_key_is_another_for_any_other_call(part: int) -> None:
    whole = ["shop", "checkout", "o-1", RUN, "reserve-stock", "action"]
    other = [*whole[:part], "compensation" if part == 5 else "x", *whole[part + 1 :]]
    namespace, saga, key, run, step, kind = other
    assert idempotency_key(Instance(namespace, saga, key), run, step, kind) == "/".join(other)  # type: ignore[arg-type]
    assert "/".join(other) != "/".join(whole)


def test_no_two_calls_have_one_key() -> None:
    """No part can hold the slash that parts them."""
    parts = ("a", "aa")
    keys = {
        idempotency_key(Instance(namespace, saga, key), run, step, kind)
        for namespace, saga, key, run, step in itertools.product(parts, repeat=5)
        for kind in ("action", "compensation")
    }
    assert len(keys) == 2**6


# -- sizes -----------------------------------------------------------------------------------------------------------

WORST = {
    "plain": Raw(b'"' + b"x" * (MAX_DATA - 2) + b'"'),
    "escapes": Raw(b'"' + b"\\u0001" * ((MAX_DATA - 2) // 6) + b'"'),
    "wide": Raw(b'"' + "\U0001f4b8".encode() * ((MAX_DATA - 2) // 4) + b'"'),
}


@pytest.mark.parametrize("data", WORST.values(), ids=WORST)
@pytest.mark.parametrize("sign", ["\U0001f4b8", "\x01"], ids=["wide", "escaped"])
def test_a_compensation_carries_request_and_result_as_they_are_and_a_bounded_cause(data: Raw, sign: str) -> None:
    cause = Cause("refused", sign * 100_000, "x" * 63)
    place, known = registers.end("s0"), Known("me")
    begun, ended = Started(INSTANCE.subject(place)), Done("s1.ok", data)
    log = {place: Done("s0.ok", data), registers.begin("s1"): begun, registers.end("s1"): ended, ABORT: Notice(cause)}
    known.registers.update(stored(log))
    step = rules_for(shapes.straight(2), "s1").steps["s1"]
    (call,) = compensation(step, known, Delivery(INSTANCE, known.registers[ABORT]), begun, ended, cause)
    assert isinstance(call, Call)
    assert call.body.count(bytes(data)) == 2
    assert len(call.body) < 2 * MAX_DATA + 4096


def called_by(saga: Saga, step: str, by: Name, value: Value, cause: Cause | None = None) -> Call:
    """The action of a step that ran for this register; with a `cause` its compensation."""
    known, begun, ended = Known("me"), Started(INSTANCE.subject(by)), Done(f"{step}.ok")
    notice = {ABORT: Notice(cause)} if cause else {}
    log = {by: value, registers.begin(step): begun, registers.end(step): ended, **notice}
    known.registers.update(stored(log))
    own = rules_for(saga, step).steps[step]
    if cause is None:
        made = action(own, known, Delivery(INSTANCE, known.registers[by]))
    else:
        made, *_ = compensation(own, known, Delivery(INSTANCE, known.registers[ABORT]), begun, ended, cause)
    assert isinstance(made, Call)
    return made


ASKS_FOR_THE_ID = shapes.saga(step("a", body='{"id": event.id}'), step("b", "a.ok", body='{"id": event.id}'))


@pytest.mark.parametrize(
    ("own", "by", "value", "cause"),
    [
        ("a", START, start(id="order 4711"), "order 4711"),
        ("b", registers.end("a"), Done("a.ok"), "run/a"),
        ("b", registers.end("a"), Satisfied("a.ok"), "run/a"),
    ],
)
def test_the_cause_of_an_action_is_the_event_that_it_is_called_for_by_the_id_that_expressions_see(
    own: str, by: Name, value: Value, cause: str
) -> None:
    call = called_by(ASKS_FOR_THE_ID, own, by, value)
    assert call.caused_by == json.loads(call.body)["id"] == cause


@pytest.mark.parametrize(("cause", "id_"), [(Cause("refused", "no", "b"), "run/b"), (Cause("cancelled"), "run/_")])
def test_the_cause_of_a_compensation_is_the_step_that_failed_or_the_saga_that_was_cancelled(
    cause: Cause, id_: str
) -> None:
    assert called_by(ASKS_FOR_THE_ID, "a", START, start(), cause).caused_by == id_


def test_ids_are_percent_encoded_no_more_than_the_binding_says() -> None:
    odd = 'urn:uuid:1?a=b&c=[é] "100%"'
    call = Call("action", "/a", b"{}", 5.0, "e", caused_by=odd)
    encoded = headers(call, PLACE, RUN, "s", delivered=1)["ce-causationid"]
    assert encoded == "urn:uuid:1?a=b&c=[%C3%A9]%20%22100%25%22"
    assert unescaped("ce-causationid", encoded) == odd


def test_extension_attributes_have_names_that_every_binding_takes() -> None:
    names = {name.removeprefix("ce-") for name in headers(ACT, PLACE, RUN, "s", delivered=1) if name.startswith("ce-")}
    assert {"correlationid", "causationid"} <= names
    assert all(re.fullmatch("[a-z0-9]{1,20}", name) for name in names)


def test_no_attribute_is_sent_empty() -> None:
    assert "ce-causationid" not in headers(Call("action", "/a", b"{}", 5.0, "e"), PLACE, RUN, "s", delivered=1)


def test_the_type_of_an_event_is_percent_encoded_where_it_must_be() -> None:
    """As the HTTP binding says; ours have nothing to encode, but whatever stands in a log must fit into a header."""
    odd = Call("action", "/a", b"{}", 5.0, "commandé 注文%")
    assert headers(odd, PLACE, RUN, "s", delivered=1)["ce-type"] == "command%C3%A9%20%E6%B3%A8%E6%96%87%25"
    plain = Call("action", "/a", b"{}", 5.0, "Order.placed_v-2")
    assert headers(plain, PLACE, RUN, "s", delivered=1)["ce-type"] == "Order.placed_v-2"


def test_a_step_that_was_begun_by_what_announces_nothing_is_undone_all_the_same() -> None:
    """No version has written that, but who undoes has no choice."""
    by, known = registers.begin("s0"), Known("me")
    begun, ended = Started(INSTANCE.subject(by)), Done("s1.ok")
    cause = Cause("unknown")
    log = {by: Started(""), registers.begin("s1"): begun, registers.end("s1"): ended, ABORT: Notice(cause)}
    known.registers.update(stored(log))
    step = rules_for(shapes.straight(2), "s1").steps["s1"]
    (call,) = compensation(step, known, Delivery(INSTANCE, known.registers[ABORT]), begun, ended, cause)
    assert isinstance(call, Call)
    assert call.event == ""
