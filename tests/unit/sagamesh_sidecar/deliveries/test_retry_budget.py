"""The pace of retries: as core asks while few wait, and no more than a share of the sidecar while many do."""

from __future__ import annotations

from collections.abc import Callable
from statistics import mean
from time import monotonic

import pytest

from sagamesh.protocol.effects import Nak
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
