"""Whether this process has stood still, and the server's time, by one clock that counts while a machine sleeps."""

from __future__ import annotations

import sys
import time

import pytest

from sagamesh_jetstream.client import server_time
from sagamesh_jetstream.client.pulse import Pulse, elapsed
from sagamesh_jetstream.client.server_time import Clock


def test_a_pulse_tells_how_long_it_stood_still() -> None:
    times = iter([100.0, 110.0, 140.0, 170.1, 170.2, 270.2])
    pulse = Pulse(30.0, lambda: next(times))
    assert pulse.beat() == pulse.beat() == 0.0, "thirty seconds are not too long yet"
    assert pulse.beat() == pytest.approx(30.1)
    assert pulse.beat() == 0.0, "it is told once"
    assert pulse.beat() == pytest.approx(100.0)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the monotonic clock counts sleep, too")
def test_on_linux_the_clock_is_the_one_that_counts_while_the_machine_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "clock_gettime", lambda clock: {time.CLOCK_BOOTTIME: 7.0}.get(clock, 1.0))
    assert elapsed() == 7.0


def test_the_server_s_time_goes_on_while_the_machine_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [50.0]
    monkeypatch.setattr(server_time, "elapsed", lambda: now[0])
    clock = Clock()
    assert clock.due
    clock.measure(1000.0, 50.0)
    now[0] += 45.0
    assert clock.now() == 1045.0
    assert not clock.due
    now[0] += 16.0
    assert clock.due
