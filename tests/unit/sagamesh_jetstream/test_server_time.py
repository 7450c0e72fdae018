"""The server's time, whatever the clock of this machine says."""

from __future__ import annotations

import time

import pytest

from sagamesh_jetstream.client.server_time import Clock


@pytest.mark.parametrize("skew", [-3600.0, 3600.0])
def test_a_clock_that_is_wrong_changes_nothing_once_a_server_was_heard(
    skew: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, right = Clock(), time.time()
    monkeypatch.setattr(time, "time", lambda: right + skew)
    assert clock.now() == right + skew, "for want of anything better"
    clock.measure(right, time.monotonic())
    # F29: The times that count are the server's, whatever a pod's clock says
    assert clock.now() == pytest.approx(right, abs=1.0)
