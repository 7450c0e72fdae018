"""Starting and cancelling an instance: which id it gets, when two payloads are the same, what stands afterwards."""

from __future__ import annotations

import base64
import hashlib
import json as plain_json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.structs import replace

from sagamesh.errors import EventError
from sagamesh.language.model import Saga, StartSpec
from sagamesh.log import registers
from sagamesh.log.registers import (
    ABORT,
    LITERAL_ID,
    OUTCOME,
    START,
    Aborted,
    Cancelled,
    Cause,
    Committed,
    Name,
    Notice,
    Skipped,
    Started,
    Value,
    begin,
)
from sagamesh.protocol import commands
from sagamesh.protocol.attempt import READS_UNTIL_PRESENT, Fetch, LogStuckError, Pause, Put, WriteRefused
from sagamesh.protocol.commands import TRIES, digest, instance_id
from sagamesh.protocol.effects import Known
from sagamesh.rules.compiled import Rules
from support.builders import shapes
from support.builders.attempts import CAUSE, ME, OTHER, Driven, json, register, rules, shape, start

fuzz = settings(max_examples=60)


# -- the instance's id -----------------------------------------------------------------------------------------------


def keyed(key: str | None) -> Rules:
    saga = shapes.straight(1)
    return rules(replace(saga, start=StartSpec(participant="app", event="start", key=key)))["app"]


BY_ID = keyed("event.data.id")


def id_for(key: str) -> str:
    return instance_id(BY_ID, start({"id": key}))


@pytest.mark.parametrize("key", ["o-1", "A_b-9", "_", "-", "0", "x" * 64, "H-1", "h", "oh-1"])
def test_a_literal_key_is_the_id(key: str) -> None:
    assert id_for(key) == key


@pytest.mark.parametrize(
    "key",
    ["x" * 65, "x" * 10_000, "a.b", "a b", " a", "a ", "a\n", "*", ">", "a/b", "é", "日本", "😀", "a:b", "a\tb", "$KV"],
    ids=lambda key: ascii(key)[:24],
)
def test_any_other_key_becomes_a_digest(key: str) -> None:
    expected = "h-" + base64.b32encode(hashlib.sha256(key.encode()).digest()).decode().lower()[:26]
    assert id_for(key) == expected
    assert re.fullmatch("h-[a-z2-7]{26}", id_for(key))


def test_a_digest_is_pinned() -> None:
    """Other versions must give the same key the same id."""
    assert id_for("a.b") == "h-fzztnxeoxkd66rzn6vumgvecvp"


def test_different_keys_have_different_digests() -> None:
    keys = [f"{n}.{n}" for n in range(500)]
    assert len({id_for(key) for key in keys}) == 500


@fuzz
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
def test_every_key_gives_an_id_or_is_refused(key: str) -> None:
    if key.startswith("h-"):
        with pytest.raises(EventError):
            id_for(key)
        return
    found = id_for(key)
    assert registers.is_instance_id(found)
    assert (found == key) is bool(LITERAL_ID.fullmatch(key))


@pytest.mark.parametrize("key", ["h-", "h-1", "h-" + "a" * 26, "h-a.b", "h-" + "x" * 100])
def test_a_key_that_looks_like_a_digest_is_refused(key: str) -> None:
    with pytest.raises(EventError, match="begin with 'h-'"):
        id_for(key)
    with pytest.raises(EventError, match="begin with 'h-'"):
        instance_id(keyed(None), start(id=key))


def test_an_empty_key_is_refused() -> None:
    with pytest.raises(EventError, match="is empty"):
        id_for("")


@pytest.mark.parametrize("data", [None, {}, {"id": None}, {"id": 7}, {"id": ["x"]}, [], "x"], ids=repr)
def test_a_key_that_cannot_be_evaluated_is_the_sender_s_to_mend(data: object) -> None:
    with pytest.raises(EventError, match="the key of saga 'simulated' cannot be made from this event"):
        instance_id(BY_ID, start(data))


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("event.id", "e-1"),
        ("event.type", "start"),
        ('event.data.id + "-" + event.data.part', "o-7-b"),
        ("string(event.time.getFullYear())", "2026"),
        ("string(int(event.data.number))", "12"),
        ('"fixed"', "fixed"),
    ],
)
def test_a_key_is_made_from_the_event(key: str, expected: str) -> None:
    event = start({"id": "o-7", "part": "b", "number": 12}, time="2026-01-31T12:00:00Z")
    assert instance_id(keyed(key), event) == expected


@pytest.mark.parametrize("number", [b"1000000", b"1e6", b"1000000.0", b"10E+5"])
def test_a_key_made_of_a_number_is_its_digits_however_it_was_written(number: bytes) -> None:
    event = replace(start(), data=Raw(b'{"orderId":' + number + b"}"))
    assert instance_id(keyed("string(event.data.orderId)"), event) == "1000000" == commands.id_of("1000000")
    assert instance_id(keyed('"order-" + event.data.orderId'), event) == "order-1000000"


def test_a_key_over_the_time_of_an_event_without_one_is_still_the_same_each_time() -> None:
    assert instance_id(keyed("string(event.time.getFullYear())"), start()) == "1970"


def test_without_a_key_the_id_of_the_event_is_the_instance_s() -> None:
    assert instance_id(keyed(None), start(id="e-42")) == "e-42"
    assert instance_id(keyed(None), start(id="urn:e:42")).startswith("h-")


def test_the_same_key_gives_the_same_id_whatever_else_the_event_says() -> None:
    one = instance_id(BY_ID, start({"id": "a.b", "x": 1}, id="1", source="p"))
    other = instance_id(BY_ID, start({"x": 2, "id": "a.b"}, id="2", source="q"))
    assert one == other


# -- sameness of payloads --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b'{"a":1,"b":2}', b'{"b":2,"a":1}'),
        (b'{"a":1}', b' { "a" : 1 }\n'),
        (b'{"x":{"a":1,"b":[{"c":1,"d":2}]}}', b'{"x":{"b":[{"d":2,"c":1}],"a":1}}'),
        (b'"\\u00e9\\/"', '"é/"'.encode()),
        (b"1e3", b"1000.0"),
        (b"null", b" null"),
    ],
    ids=repr,
)
def test_the_same_json_has_the_same_digest(one: bytes, other: bytes) -> None:
    assert digest("e", Raw(one)) == digest("e", Raw(other))


@pytest.mark.parametrize(
    "other",
    [
        b'{"a":2}',
        b'{"a":"1"}',
        b'{"a":[1]}',
        b'{"A":1}',
        b'{"a":1,"b":null}',
        b"{}",
        b"null",
        b'[{"a":1}]',
        b'{"a":true}',
        b'{"a":12345678901234567890}',
    ],
    ids=repr,
)
def test_other_data_have_another_digest(other: bytes) -> None:
    assert digest("e", Raw(b'{"a":1}')) != digest("e", Raw(other))


def test_the_order_of_a_list_counts() -> None:
    assert digest("e", Raw(b"[1,2]")) != digest("e", Raw(b"[2,1]"))


def test_large_numbers_are_not_rounded() -> None:
    assert digest("e", Raw(b"9007199254740993")) != digest("e", Raw(b"9007199254740992"))


def test_another_type_has_another_digest() -> None:
    assert digest("e", json(1)) != digest("f", json(1))


def test_type_and_data_do_not_run_together() -> None:
    assert digest('e",1', json(2)) != digest("e", Raw(b"[1,2]"))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=10,
)


def reversed_keys(value: object) -> object:
    if isinstance(value, dict):
        return {key: reversed_keys(value[key]) for key in reversed(value)}
    return [reversed_keys(item) for item in value] if isinstance(value, list) else value


@fuzz
@given(JSON.map(lambda value: plain_json.loads(plain_json.dumps(value))))
def test_neither_keys_nor_spaces_nor_escapes_change_a_digest(value: object) -> None:
    spaced = plain_json.dumps(reversed_keys(value), indent=2).encode()
    assert digest("e", json(value)) == digest("e", Raw(spaced))


# -- start -----------------------------------------------------------------------------------------------------------

EVENT = start({"id": "o-1"})
PUT = Put(START, EVENT)


def starting() -> Driven[registers.Register | None]:
    return Driven(commands.start(Known(attempt_id=ME), EVENT))


def test_a_start_is_written_and_that_is_all() -> None:
    driven = starting()
    assert driven.operation == PUT
    mine = register(START, EVENT, 1, ME)
    driven.send(mine)
    assert driven.result == mine


def test_a_start_that_stands_already_is_read_until_it_is_seen() -> None:
    driven = starting()
    driven.send(WriteRefused.EXISTS)
    for turn in range(2):
        assert driven.operation == Fetch((START,))
        driven.send(())
        assert driven.operation == Pause(turn)
        driven.send(None)
    theirs = register(START, start({"id": "o-1", "other": True}), 1, OTHER)
    driven.send((theirs,))
    assert driven.result == theirs


def test_a_start_whose_reply_was_lost_is_written_again_and_found_to_be_one_s_own() -> None:
    driven = starting()
    driven.send(WriteRefused.UNKNOWN)
    assert driven.operation == Pause(0)
    driven.send(None)
    assert driven.operation == PUT
    driven.send(WriteRefused.EXISTS)
    mine = register(START, EVENT, 1, ME)
    driven.send((mine,))
    assert driven.result == mine


def test_a_start_that_is_never_answered_is_unknown_after_some_tries() -> None:
    driven = starting()
    assert TRIES == 6, "more would take longer than the half minute that an app waits"
    for turn in range(TRIES):
        assert driven.operation == PUT
        driven.send(WriteRefused.UNKNOWN)
        assert driven.operation == Pause(turn)
        driven.send(None)
    assert driven.operation is None
    assert driven.result is None


def test_a_start_that_is_answered_at_the_last_try_counts() -> None:
    driven = starting()
    for _ in range(TRIES - 1):
        driven.send(WriteRefused.UNKNOWN)
        driven.send(None)
    mine = register(START, EVENT, 1, ME)
    driven.send(mine)
    assert driven.result == mine


def test_a_start_that_stands_but_cannot_be_read_is_neither_mine_nor_theirs() -> None:
    driven = starting()
    driven.send(WriteRefused.EXISTS)
    for _ in range(READS_UNTIL_PRESENT - 1):
        driven.send(())
        driven.send(None)
    driven.send(())
    with pytest.raises(LogStuckError):
        driven.send(None)


# -- cancel ----------------------------------------------------------------------------------------------------------

PLAIN, PIVOT = shapes.straight(2), shapes.straight(3, pivot=1)
SKIPPABLE = shape("pivot skipped")
REASON = Cause("cancelled", "changed my mind")


class Cancelling(Driven[None]):
    def __init__(self, saga: Saga) -> None:
        self.known = Known(attempt_id=ME)
        super().__init__(commands.cancel(rules(saga)["app"], self.known, "changed my mind"))

    def wants(self, name: Name, value: Value) -> Cancelling:
        assert self.operation == Put(name, value)
        return self

    def store(self) -> Cancelling:
        assert isinstance(self.operation, Put)
        self.send(register(self.operation.name, self.operation.value, 9, ME))
        return self

    def lose_to(self, value: Value) -> Cancelling:
        assert isinstance(self.operation, Put)
        name = self.operation.name
        self.send(WriteRefused.EXISTS)
        assert self.operation == Fetch((name,))
        self.send((register(name, value, 8, OTHER),))
        return self


def test_a_cancel_writes_outcome_and_notice_where_there_is_no_pivot() -> None:
    driven = Cancelling(PLAIN)
    driven.wants(OUTCOME, Aborted(REASON)).store()
    driven.wants(ABORT, Notice(REASON)).store()
    assert driven.operation is None


def test_a_cancel_closes_the_latch_of_the_pivot_which_is_the_outcome() -> None:
    driven = Cancelling(PIVOT)
    driven.wants(begin("s1"), Cancelled(REASON)).store()
    driven.wants(ABORT, Notice(REASON)).store()
    assert driven.operation is None


def test_a_cancel_stops_where_the_pivot_has_started() -> None:
    driven = Cancelling(PIVOT).lose_to(Started("x"))
    assert driven.operation is None
    assert driven.known.registers.keys() == {begin("s1")}
    assert driven.known.value(begin("s1")) == Started("x")


def test_a_cancel_goes_on_where_the_pivot_was_cancelled() -> None:
    Cancelling(PIVOT).lose_to(Cancelled(CAUSE)).wants(ABORT, Notice(CAUSE))


def test_a_cancel_writes_the_outcome_where_the_pivot_was_skipped() -> None:
    Cancelling(SKIPPABLE).lose_to(Skipped("x", "dead")).wants(OUTCOME, Aborted(REASON))


def test_a_cancel_takes_a_skipped_pivot_that_nothing_can_skip_for_a_cancelled_one() -> None:
    cause = Cause("cancelled", "s1 was skipped, and no event can have caused that")
    Cancelling(PIVOT).lose_to(Skipped("x", "dead")).wants(ABORT, Notice(cause))


@pytest.mark.parametrize("pivot", [False, True], ids=["plain", "with a pivot that was skipped"])
def test_a_cancel_stops_where_the_saga_is_committed(pivot: bool) -> None:
    driven = Cancelling(SKIPPABLE if pivot else PLAIN)
    if pivot:
        driven.lose_to(Skipped("x", "dead"))
    driven.lose_to(Committed())
    assert driven.operation is None
    assert driven.known.value(OUTCOME) == Committed()
    assert ABORT not in driven.known.registers


def test_a_cancel_of_an_aborted_saga_passes_on_the_cause_that_stands() -> None:
    driven = Cancelling(PLAIN)
    driven.lose_to(Aborted(CAUSE)).wants(ABORT, Notice(CAUSE)).lose_to(Notice(CAUSE))
    assert driven.operation is None
    assert driven.known.value(OUTCOME) == Aborted(CAUSE)


def test_a_cancel_writes_again_what_is_unknown() -> None:
    driven = Cancelling(PLAIN)
    for turn in range(10):
        driven.wants(OUTCOME, Aborted(REASON))
        driven.send(WriteRefused.UNKNOWN)
        assert driven.operation == Pause(turn)
        driven.send(None)
    driven.store().wants(ABORT, Notice(REASON))


def test_a_cancelled_pivot_says_why_to_whoever_begins_it() -> None:
    """The cause travels with the latch, so that the pivot's owner can carry the abort on."""
    driven = Cancelling(PIVOT)
    assert isinstance(driven.operation, Put)
    assert driven.operation.value == Cancelled(Cause("cancelled", "changed my mind", step=""))


def test_whole_numbers_are_the_same_however_they_are_written() -> None:
    assert digest("e", Raw(b'{"a":[1,2.5]}')) == digest("e", Raw(b'{"a":[1.0,25e-1]}'))
    assert digest("e", Raw(b'{"a":1}')) != digest("e", Raw(b'{"a":1.5}'))
