"""The format of rules documents, pinned: what was written once is read for ever, and everything else is unreadable.

`golden/` holds what stands in the rules bucket. A change of it is a change of the format: documents that were written
before must still be read, so add an example rather than change one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from sagamesh.errors import UnreadableError
from sagamesh.language.model import Action, Compensation, Emit, Retry
from sagamesh.rules import codec
from sagamesh.rules.local import Input, LocalRules, OpenStep, StepRules

RULES = LocalRules(
    namespace="shop",
    saga="checkout",
    participant="payments",
    revision="5f0c9a1e77",
    start_participant="orders",
    start_event="order.placed",
    key="event.data.orderId",
    order="reverse",
    park_after=600.0,
    outline={"reserve": "payments", "charge": "payments", "ship": "payments"},
    open={
        "reserve": OpenStep((Input(step="_", events=("order.placed",)),)),
        "ship": OpenStep((Input(step="charge", events=("charged",)),), "any"),
    },
    undoable=("reserve",),
    last=("reserve",),
    sinks=("ship",),
    pivot="charge",
    pivot_skippable=True,
    own=(
        StepRules(
            name="reserve",
            inputs=(Input(step="_", events=("order.placed",)),),
            join="all",
            action=Action(path="/reserve"),
            emits=(
                Emit(event="reserved.fully", when="response.body.full"),
                Emit(event="reserved.partly"),
            ),
            when="event.data.total > 0.0",
            compensation=Compensation(path="/release", body='{"id": result.id}', timeout=7.5),
            open=True,
            behind=("pack",),
        ),
        StepRules(
            name="charge",
            inputs=(Input(step="reserve", events=("reserved.fully", "reserved.partly")),),
            join="any",
            action=Action(
                path="/charges",
                body='{"amount": events["order.placed"].data.total}',
                timeout=2.0,
                within=30.0,
                retry=Retry(backoff=0.5, max_backoff=20.0),
            ),
            emits=(Emit(event="charged"),),
            needs=(("_", "order.placed"),),
            pivot=True,
        ),
        StepRules(
            name="ship",
            inputs=(Input(step="charge", events=("charged",)),),
            join="all",
            action=Action(path="/ship"),
            emits=(Emit(event="shipped"),),
            retriable=True,
            open=True,
        ),
    ),
)
GOLDEN = Path(__file__).parent / "golden"
RULES_GOLDEN = (GOLDEN / "rules.json").read_bytes().rstrip(b"\n")
FORMAT_1 = (GOLDEN / "rules-of-format-1.json").read_bytes().rstrip(b"\n")
PARTS = st.sampled_from([b'{"format":', b"1", b'"own":', b"null", b"[", b"}", b',"order":', b"1e999", b'"\xff"'])

fuzz = settings(max_examples=200)


def test_rules_are_written_as_they_always_were() -> None:
    assert codec.encode_rules(RULES) == RULES_GOLDEN


def test_rules_are_read_as_they_were_written() -> None:
    assert codec.decode_rules(RULES_GOLDEN) == RULES


def test_the_golden_rules_say_everything_that_rules_can_say() -> None:
    """Otherwise a renamed field would go unnoticed."""
    defaults = {field.name for field in msgspec.structs.fields(LocalRules) if not field.required}
    assert all(getattr(RULES, name) for name in defaults)
    reserve, charge, ship = RULES.own
    assert charge.needs
    assert charge.pivot
    assert charge.action.body
    assert charge.action.retry != Retry()
    assert ship.retriable
    assert ship.open
    assert reserve.behind
    assert reserve.when
    assert reserve.compensation is not None
    assert reserve.compensation.body


def rules_document(**changes: object) -> bytes:
    return json.dumps({**json.loads(RULES_GOLDEN), **changes}).encode()


@pytest.mark.parametrize("format_", [-1, 0, 1])
def test_rules_of_an_older_format_are_refused_and_it_is_said_what_to_do(format_: int) -> None:
    mend = "what they began must be ended by the version that wrote them"
    told = f"rules of format {format_}; this version reads format 2: {mend}"
    with pytest.raises(UnreadableError) as refused:
        codec.decode_rules(rules_document(format=format_))
    assert str(refused.value) == told


@pytest.mark.parametrize("format_", [3, 99])
def test_rules_of_a_newer_format_are_refused_and_it_is_said_what_to_do(format_: int) -> None:
    told = f"rules of format {format_}; this version reads format 2: upgrade what reads them"
    with pytest.raises(UnreadableError) as refused:
        codec.decode_rules(rules_document(format=format_))
    assert str(refused.value) == told


def test_rules_as_format_1_wrote_them_are_refused_for_their_format() -> None:
    """Not for the fields that they lack, which nobody could mend."""
    with pytest.raises(UnreadableError, match="rules of format 1; this version reads format 2"):
        codec.decode_rules(FORMAT_1)


def test_fields_of_the_future_in_rules_are_ignored() -> None:
    document = json.loads(RULES_GOLDEN)
    document["future"] = {"format": 2}
    for step in document["own"]:
        step["future"] = 1
        step["action"]["future"] = 1
        step["action"]["retry"]["future"] = 1
        step["inputs"][0]["future"] = 1
        step["emits"][0]["future"] = 1
    assert codec.decode_rules(json.dumps(document).encode()) == RULES


@pytest.mark.parametrize("field", sorted(field.name for field in msgspec.structs.fields(LocalRules) if field.required))
def test_rules_without_what_they_must_say_are_unreadable(field: str) -> None:
    document = json.loads(RULES_GOLDEN)
    del document[field]
    with pytest.raises(UnreadableError, match="this is no rules document"):
        codec.decode_rules(json.dumps(document).encode())


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"{",
        b"not JSON",
        b"\xff\xfe",
        rules_document(order="sideways"),
        rules_document(park_after="10m"),
        rules_document(format="1"),
        rules_document(own=[{}]),
        rules_document(outline=[]),
    ],
    ids=lambda document: repr(document[:16]),
)
def test_what_is_no_rules_document_is_unreadable(document: bytes) -> None:
    with pytest.raises(UnreadableError, match="this is no rules document"):
        codec.decode_rules(document)


@fuzz
@given(st.binary(max_size=200) | st.lists(PARTS, max_size=8).map(b"".join))
def test_whatever_stands_in_the_bucket_is_unreadable(document: bytes) -> None:
    with pytest.raises(UnreadableError):
        codec.decode_rules(document)


@fuzz
@given(st.data())
def test_rules_that_were_cut_or_altered_are_read_or_unreadable(draw: st.DataObject) -> None:
    document = bytearray(RULES_GOLDEN)
    place = draw.draw(st.integers(0, len(document) - 1))
    document[place : place + draw.draw(st.integers(0, 3))] = draw.draw(st.binary(max_size=3))
    try:
        codec.decode_rules(bytes(document))
    except UnreadableError:
        return


def test_a_revision_does_not_hash_itself() -> None:
    documents = {"payments": RULES, "orders": replace(RULES, participant="orders", own=())}
    bare = {name: replace(rules, revision="") for name, rules in documents.items()}
    assert codec.revision(documents) == codec.revision(bare)
    assert len(codec.revision(documents)) == 10
    assert int(codec.revision(documents), 16) >= 0


@pytest.mark.parametrize("change", [{"park_after": 601.0}, {"key": None}, {"order": "parallel"}, {"own": ()}], ids=str)
def test_every_change_gives_another_revision(change: dict[str, Any]) -> None:
    assert codec.revision({"payments": RULES}) != codec.revision({"payments": replace(RULES, **change)})


def test_rules_that_are_nested_too_deep_are_unreadable() -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    with pytest.raises(UnreadableError):
        codec.decode_rules(b'{"x":%s}' % deep)
