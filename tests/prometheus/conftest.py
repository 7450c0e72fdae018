"""Where Prometheus is; without it these tests are skipped."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from support.servers import prometheus


@pytest.fixture(scope="session")
def programs() -> Path:
    """The folder of prometheus and promtool. Skips where there are none, unless REQUIRE_PROMETHEUS is set."""
    try:
        return prometheus.find()
    except prometheus.NoPrometheus as error:
        if prometheus.required(os.environ):
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))
