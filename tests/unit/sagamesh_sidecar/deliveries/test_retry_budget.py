"""The pace of retries: as core asks while few wait, and no more than a share of the sidecar while many do."""

from __future__ import annotations

from collections.abc import Callable
from statistics import mean
from time import monotonic

import pytest

from sagamesh.protocol.effects import Nak
from sagamesh_sidecar.deliveries.parking import FORGET
from sagamesh_sidecar.deliveries.retry_budget import LONGEST, OVERDUE, RETRIES, RetryBudget

SLOTS = 32


def crowd(count: int, *, held: float = 0.0, spent: float = 0.0, now: Callable[[], float] = monotonic) -> RetryBudget:
    """So many wait already."""
    paced = RetryBudget(SLOTS, now=now)
    for n in range(count):
        paced.delay(f"other-{n}", Nak(1.0), held=held, spent=spent)
    return paced


def drawn(paced: RetryBudget, nak: Nak) -> list[float]:
    return [paced.delay("mine", nak, held=0.0, spent=0.0) for _ in range(2000)]


def test_while_few_wait_delays_are_those_that_core_asks_for() -> None:
    delays = drawn(crowd(20), Nak(1.0))
    assert max(delays) <= 1.0
    assert mean(delays) == pytest.approx(0.5, rel=0.1)
    assert set(drawn(crowd(0), Nak(1.0, at_least=3.0))) == {3.0}


@pytest.mark.parametrize("count", [1000, 5000, 20_000])
def test_f52_however_many_wait_retries_have_a_limit(count: int) -> None:
    delays = drawn(crowd(count), Nak(10.0))
    # F52: Poisoned instances are retried ever less often, so that all of them together make some 200 retries a second
    assert count / mean(delays) == pytest.approx(RETRIES, rel=0.1)


def test_f19_calls_that_hang_take_half_of_the_slots_at_most() -> None:
    delays = drawn(crowd(100, held=5.0, spent=5.0), Nak(10.0))
    # F19: hanging calls take half of the slots at most
    # F52: take half of the slots at most
    assert 100 * 5.0 / mean(delays) == pytest.approx(SLOTS / 2, rel=0.1)


def test_f52_where_the_machine_is_busy_retries_take_half_of_the_slots_at_most() -> None:
    delays = drawn(crowd(1000, held=0.3, spent=0.001), Nak(10.0))
    assert 1000 * 0.3 / mean(delays) == pytest.approx(SLOTS / 2, rel=0.1)


def test_waiting_for_the_log_makes_nobody_slow() -> None:
    assert max(drawn(crowd(SLOTS, held=20.0), Nak(1.0))) <= 2.1


def test_no_delay_grows_without_end() -> None:
    assert max(drawn(crowd(20_000, spent=60.0), Nak(1.0))) <= LONGEST


def test_who_has_come_waits_no_more() -> None:
    paced = crowd(5000)
    for n in range(5000):
        paced.came(f"other-{n}")
    paced.came("a stranger")
    assert max(drawn(paced, Nak(1.0))) <= 1.0


def test_who_went_to_another_replica_is_forgotten() -> None:
    now = 1.0
    paced = crowd(5000, now=lambda: now)
    paced.sweep()
    assert max(drawn(paced, Nak(1.0))) > 10.0
    now += LONGEST + OVERDUE + 60
    paced.sweep()
    assert max(drawn(paced, Nak(1.0))) <= 1.0


def longest(slots: int = SLOTS, now: Callable[[], float] = lambda: 0.0) -> RetryBudget:
    """Always draws the longest delay that it may."""
    return RetryBudget(slots, now=now, uniform=lambda _shortest, longest: longest)


def test_a_delay_is_drawn_from_nothing_to_what_core_asks_for() -> None:
    asked: list[tuple[float, float]] = []

    def uniform(shortest: float, longest: float) -> float:
        asked.append((shortest, longest))
        return shortest

    assert RetryBudget(SLOTS, uniform=uniform).delay("mine", Nak(1.0), held=0.0, spent=0.0) == 0.0
    assert asked == [(0.0, 1.0)]


def test_a_retry_that_takes_no_time_costs_a_two_hundredth_of_a_second() -> None:
    paced = longest()
    delays = [paced.delay(f"waits-{n}", Nak(0.0), held=0.0, spent=0.0) for n in range(3)]
    assert delays == pytest.approx([0.01, 0.02, 0.03])


def test_a_call_costs_what_it_took_of_half_of_the_slots() -> None:
    assert longest(slots=8).delay("mine", Nak(0.0), held=0.0, spent=6.0) == pytest.approx(2 * 6.0 / 4)


def test_what_was_in_hand_without_a_call_costs_half_a_second_of_half_of_the_slots_at_most() -> None:
    assert longest(slots=8).delay("short", Nak(0.0), held=0.4, spent=0.0) == pytest.approx(2 * 0.4 / 4)
    assert longest(slots=8).delay("long", Nak(0.0), held=60.0, spent=0.0) == pytest.approx(2 * 0.5 / 4)


def test_a_sidecar_with_a_single_slot_gives_retries_all_of_it() -> None:
    assert longest(slots=1).delay("mine", Nak(0.0), held=0.0, spent=3.0) == pytest.approx(2 * 3.0)


def test_retries_that_make_no_call_since_the_app_is_away_keep_nobody_waiting() -> None:
    """Before, the app took five seconds of each. That is over once they come again and find nobody to call."""
    paced = longest(slots=2)
    for subject in ("one", "two"):
        paced.delay(subject, Nak(0.2), held=5.0, spent=5.0)
    assert paced.delay("mine", Nak(0.2), held=0.0, spent=0.0) > 20.0
    for subject in ("one", "two"):
        paced.came(subject)
        paced.delay(subject, Nak(0.2), held=0.0, spent=0.0)
    assert paced.delay("mine", Nak(0.2), held=0.0, spent=0.0) == 0.2


def test_no_delay_is_stretched_over_four_minutes_which_parking_remembers_and_core_may_ask_for_more() -> None:
    paced = longest(slots=2)
    assert paced.delay("mine", Nak(1.0), held=0.0, spent=9999.0) == 240.0
    assert paced.delay("mine", Nak(300.0), held=0.0, spent=9999.0) == 300.0
    assert FORGET > 240.0


def test_a_delivery_is_forgotten_half_a_minute_after_its_time_and_not_before() -> None:
    now = 1000.0
    paced = longest(slots=2, now=lambda: now)
    assert paced.delay("gone", Nak(20.0), held=0.0, spent=5.0) == 20.0
    now += 20.0 + 30.0
    paced.sweep()
    assert paced.delay("mine", Nak(1.0), held=0.0, spent=5.0) == pytest.approx(2 * (5.0 + 5.0))
    now += 0.5
    paced.sweep()
    assert paced.delay("mine", Nak(1.0), held=0.0, spent=5.0) == pytest.approx(2 * 5.0)


def test_a_delivery_that_is_given_back_again_counts_once() -> None:
    paced = longest(slots=2)
    paced.delay("other", Nak(0.0), held=0.0, spent=1.0)
    for _ in range(3):
        assert paced.delay("mine", Nak(0.0), held=0.0, spent=5.0) == pytest.approx(2 * (1.0 + 5.0))
