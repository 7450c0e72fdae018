"""When people are alarmed: failing for longer than `parkAfter`, to the second; and what merely takes that long."""

from __future__ import annotations

import msgspec
import pytest

from sagamesh.language.model import Saga
from sagamesh.log.registers import START
from sagamesh.protocol.answers import APP_AWAY
from sagamesh.protocol.effects import LEASE_LOST, Delivery
from sagamesh.protocol.view.standing import PARK_AFTER, is_parked, is_slow, trouble_of
from support.builders.attempts import INSTANCE, register, start


def delivery(delivered: int) -> Delivery:
    return Delivery(INSTANCE, register(START, start(), time=1000.0), delivered)


@pytest.mark.parametrize(
    ("delivered", "now", "parked"),
    [
        (2, 1059.0, False),
        (2, 1060.0, False),
        (2, 1060.5, True),
        (1, 9999.0, False),  # its sidecar was away: it fails for the first time
        (3, 999.0, False),
    ],
)
def test_what_fails_is_parked_from_its_register_on(delivered: int, now: float, parked: bool) -> None:
    trouble = trouble_of(delivery(delivered), "a", "the printer jams", now=now, park_after=60.0)
    assert is_parked(trouble) is parked
    assert (trouble.step, trouble.reason, trouble.seen) == ("a", "the printer jams", now)


def test_what_is_remembered_to_fail_has_failed_since_then() -> None:
    """A sidecar that was away for long fails first, and again at once: that is no more than a moment."""
    first = trouble_of(delivery(1), "a", "jams", now=5000.0, park_after=60.0)
    again = trouble_of(delivery(2), "a", "jams", now=5001.0, park_after=60.0, before=first)
    assert (again.since, is_parked(again)) == (5000.0, False)
    assert is_parked(trouble_of(delivery(9), "a", "jams", now=5061.0, park_after=60.0, before=again))


@pytest.mark.parametrize("hides", [APP_AWAY, LEASE_LOST])
def test_what_hides_the_reason_leaves_the_last_one_behind_it(hides: str) -> None:
    trouble, said = None, []
    for reason in (hides, "jams", hides, hides, "burns", APP_AWAY, LEASE_LOST, "POST /a answered 503"):
        trouble = trouble_of(delivery(1), "a", reason, now=5000.0, park_after=60.0, before=trouble)
        said.append(trouble.reason)
    assert said == [
        hides,
        "jams",
        f"{hides}; before that: jams",
        f"{hides}; before that: jams",
        "burns",
        f"{APP_AWAY}; before that: burns",
        f"{LEASE_LOST}; before that: burns",
        "POST /a answered 503",
    ]


def test_a_reason_behind_another_is_cut_with_it() -> None:
    before = trouble_of(delivery(1), "a", "x" * 500, now=5000.0, park_after=60.0)
    assert len(trouble_of(delivery(1), "a", APP_AWAY, now=5000.0, park_after=60.0, before=before).reason) == 500


def test_what_hides_may_be_all_that_there_was() -> None:
    before = trouble_of(delivery(1), "a", LEASE_LOST, now=5000.0, park_after=60.0)
    assert trouble_of(delivery(1), "a", APP_AWAY, now=5000.0, park_after=60.0, before=before).reason == APP_AWAY


@pytest.mark.parametrize(
    ("open_since", "slow"), [([], False), ([940.0], False), ([939.5], True), ([999.0, 939.5], True), ([1001.0], False)]
)
def test_what_is_open_for_longer_is_slow(open_since: list[float], slow: bool) -> None:
    assert is_slow(open_since, now=1000.0, park_after=60.0) is slow


def test_without_rules_the_default_of_the_language_counts() -> None:
    [default] = [field.default for field in msgspec.structs.fields(Saga) if field.name == "park_after"]
    assert default == PARK_AFTER
