"""Subjects are made and read back; nothing else is taken for one."""

from __future__ import annotations

import string

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sagamesh.errors import UnreadableError
from sagamesh.log import registers
from sagamesh.log.registers import (
    ABORT,
    FINISH,
    OUTCOME,
    SAGA,
    START,
    Instance,
    Name,
    SagaKey,
)
from sagamesh.protocol import effects

SMALL = string.ascii_lowercase + string.digits
LABELS = st.text(SMALL, min_size=1, max_size=8) | st.sampled_from(("a-b", "a", "b", "reserve-credit", "x" * 63))
IDS = st.text(f"{string.ascii_letters}{string.digits}_", min_size=1, max_size=64) | st.just("h-" + "a" * 26)
INSTANCES = st.builds(Instance, LABELS, LABELS, IDS)
PLAIN_NAMES = st.sampled_from((START, OUTCOME, ABORT, FINISH)) | st.builds(
    lambda make, step: make(step),
    st.sampled_from((registers.begin, registers.end, registers.compensation)),
    LABELS,
)
NAMES = PLAIN_NAMES | st.builds(registers.marker, LABELS, st.integers(1, 2**63), PLAIN_NAMES)

fuzz = settings(max_examples=60)

INSTANCE = Instance("shop", "checkout", "o-1")


@fuzz
@given(INSTANCES, NAMES)
def test_a_subject_is_read_back_as_what_it_was_made_of(instance: Instance, name: Name) -> None:
    assert registers.parse(instance.subject(name)) == (instance, name)


@fuzz
@given(INSTANCES, NAMES, INSTANCES, NAMES)
def test_two_registers_never_share_a_subject(one: Instance, name: Name, other: Instance, second: Name) -> None:
    assert (one.subject(name) == other.subject(second)) is ((one, name) == (other, second))


@fuzz
@given(st.text() | st.from_regex(r"saga(\.[a-z_]*){3,8}", fullmatch=True))
@example("saga.a.b.c.d.e")
def test_junk_is_unreadable_or_it_is_a_subject(text: str) -> None:
    try:
        instance, name = registers.parse(text)
    except UnreadableError:
        return
    assert instance.subject(name) == text


@pytest.mark.parametrize(
    "junk",
    [
        "",
        ".",
        ".....",
        "saga",
        "saga.shop",
        "saga.shop.checkout",
        "saga.shop.checkout.o-1",
        "saga.shop.checkout.o-1.step",
        "saga..checkout.o-1.step.end",
        "saga.shop.checkout..step.end",
        "saga.shop.checkout.o-1..end",
        "saga.shop.checkout.o-1.step.",
        "sagas.shop.checkout.o-1.step.end",
        "Saga.shop.checkout.o-1.step.end",
        "$KV.sagamesh-rules.shop.orders.checkout.active",
    ],
)
def test_what_is_no_subject_is_unreadable_and_named(junk: str) -> None:
    with pytest.raises(UnreadableError, match="is not the subject of a register") as caught:
        registers.parse(junk)
    assert repr(junk) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        (START, "saga.shop.checkout.o-1._.start"),
        (OUTCOME, "saga.shop.checkout.o-1._.outcome"),
        (ABORT, "saga.shop.checkout.o-1._.abort"),
        (FINISH, "saga.shop.checkout.o-1._.finish"),
        (registers.begin("ship"), "saga.shop.checkout.o-1.ship.begin"),
        (registers.end("ship"), "saga.shop.checkout.o-1.ship.end"),
        (registers.compensation("ship"), "saga.shop.checkout.o-1.ship.compensation"),
        (registers.end(SAGA), "saga.shop.checkout.o-1._.start"),
        (registers.marker("ship", 12, registers.end("pay")), "saga.shop.checkout.o-1.ship.absent.12_pay_end"),
        (registers.marker("ship", 3, START), "saga.shop.checkout.o-1.ship.absent.3___start"),
        (
            registers.marker("ship", 3, registers.compensation("a-b")),
            "saga.shop.checkout.o-1.ship.absent.3_a-b_compensation",
        ),
    ],
)
def test_subjects_are_these(name: Name, subject: str) -> None:
    assert INSTANCE.subject(name) == subject


@fuzz
@given(LABELS, st.integers(1, 2**63), PLAIN_NAMES, st.integers(1, 2**63), PLAIN_NAMES)
def test_each_absence_has_a_marker_of_its_own(step: str, one: int, first: Name, other: int, second: Name) -> None:
    same = registers.marker(step, one, first) == registers.marker(step, other, second)
    assert same is ((one, first) == (other, second))


def test_streams_are_named_after_namespace_and_saga() -> None:
    assert registers.streams("shop", "checkout") == (INSTANCE.stream,) == ("SAGA_shop_checkout",)
    assert registers.subjects("shop", "checkout") == ("saga.shop.checkout.>",)


@pytest.mark.parametrize(
    ("stream", "saga"),
    [
        ("SAGA_shop_check-out", SagaKey("shop", "check-out")),
        ("KV_sagamesh-rules", None),
        ("SAGA_shop", None),
        ("SAGA_shop_checkout_1", None),
        ("saga_shop_checkout", None),
    ],
)
def test_a_stream_s_name_tells_its_saga(stream: str, saga: SagaKey | None) -> None:
    assert registers.saga_of_stream(stream) == saga


@pytest.mark.parametrize(("subject", "saga"), [("saga.shop.checkout.o-1.>", "checkout"), ("saga.shop", ""), ("", "")])
def test_a_subject_tells_the_name_of_its_saga(subject: str, saga: str) -> None:
    assert registers.saga_name_of(subject) == saga


def test_a_saga_is_shown_as_people_name_it() -> None:
    assert str(SagaKey("shop", "checkout")) == "shop/checkout"


def matches(pattern: str, subject: str) -> bool:
    """As a NATS server matches: `*` is one token, `>` the rest, of which there is at least one."""
    wanted, given_ = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        return len(given_) >= len(wanted) and matches(".".join(wanted[:-1]), ".".join(given_[: len(wanted) - 1]))
    return len(wanted) == len(given_) and all(w in ("*", g) for w, g in zip(wanted, given_, strict=True))


@fuzz
@given(INSTANCES, NAMES, NAMES)
def test_a_filter_takes_one_register_of_every_instance(instance: Instance, name: Name, other: Name) -> None:
    pattern = registers.filter_subject(instance.namespace, instance.saga, name)
    assert matches(pattern, instance.subject(name))
    assert matches(pattern, instance.subject(other)) is (name == other)
    assert not matches(pattern, Instance("n", "s", "i").subject(name)) or instance[:2] == ("n", "s")


@fuzz
@given(INSTANCES, INSTANCES, NAMES)
def test_an_instance_s_wildcard_takes_only_its_own(instance: Instance, other: Instance, name: Name) -> None:
    pattern = instance.wildcard
    assert matches(pattern, instance.subject(name))
    assert matches(pattern, other.subject(name)) is (instance == other)


@fuzz
@given(INSTANCES, NAMES)
def test_the_stream_takes_every_register_of_its_saga(instance: Instance, name: Name) -> None:
    [ours], [others] = registers.subjects(*instance[:2]), registers.subjects("other", instance.saga)
    assert matches(ours, instance.subject(name))
    assert not matches(others, Instance("x", *instance[1:]).subject(name))


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "A-1_b",
        "_",
        "-",
        "0",
        "x" * 64,
        "H-upper",
        "h",
        "ah-1",
        "h-" + "a" * 26,
        "h-" + "abcdefghijklmnopqrstuvwxyz",
    ],
)
def test_these_are_instance_ids(text: str) -> None:
    assert registers.is_instance_id(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x" * 65,
        "a.b",
        "a b",
        "a\n",
        "\na",
        "a*",
        ">",
        "é",
        "a/b",
        "h-",
        "h-1",
        "h-" + "a" * 25,
        "h-" + "a" * 27,
        "h-" + "A" * 26,
        "h-" + "a" * 25 + "1",
    ],
    ids=repr,
)
def test_these_are_none(text: str) -> None:
    assert not registers.is_instance_id(text)


# -- reasons ---------------------------------------------------------------------------------------------------------

ENDLESS = "n" * 110_000


def test_no_register_bears_a_longer_reason_than_500_characters() -> None:
    cut = "n" * 497 + "..."
    assert registers.Failed("refused", ENDLESS).reason == cut
    assert registers.Cause("unknown", ENDLESS).reason == cut
    assert msgspec.structs.replace(registers.Cause("unknown"), reason=ENDLESS).reason == cut


def test_a_longer_reason_that_an_older_version_has_stored_is_cut_when_it_is_read() -> None:
    cut = "n" * 497 + "..."
    stored = msgspec.json.encode({"value": "failed", "kind": "refused", "reason": ENDLESS})
    assert msgspec.json.decode(stored, type=registers.Failed).reason == cut
    stored = msgspec.json.encode({"value": "aborted", "cause": {"kind": "refused", "reason": ENDLESS}})
    assert msgspec.json.decode(stored, type=registers.Notice).cause.reason == cut


@pytest.mark.parametrize(
    "kind", [registers.Value, registers.Cause, effects.Nak, effects.Tell], ids=lambda kind: kind.__name__
)
def test_whatever_has_a_reason_cuts_it(kind: type[msgspec.Struct]) -> None:
    """A new one, too: what is stored or settled has no other way to a reason than one that is cut."""

    def below(kind: type[msgspec.Struct]) -> list[type[msgspec.Struct]]:
        return [kind, *(leaf for sub in kind.__subclasses__() for leaf in below(sub))]

    found = [one for one in below(kind) if "reason" in one.__struct_fields__]
    assert found or kind is not registers.Value
    for one in found:
        known = {"kind": "refused", "delay": 1.0, "place": "body", "reason": ENDLESS}
        made = one(**{field: known[field] for field in one.__struct_fields__ if field in known})
        assert len(made.reason) == 500, one


@pytest.mark.parametrize("instance", ["läuft", "a b", "a*", "h-x", "x" * 65])
def test_an_id_that_no_instance_has_is_in_no_subject_of_ours(instance: str) -> None:
    """It becomes part of headers of calls."""
    with pytest.raises(UnreadableError):
        registers.parse(f"saga.n.s.{instance}.a.begin")
