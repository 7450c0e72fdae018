"""Options and the closing report. No fixtures are shared through here; helpers live in `support`."""

from __future__ import annotations

import pytest

REPORT = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, default=0, help="first seed of every simulation: a replay, which may be short")
    parser.addoption("--schedules", type=int, default=0, help="schedules per shape, instead of the least that passes")
    parser.addoption("--full", action="store_true", help="faults at full length, not in short form")


@pytest.fixture(scope="session")
def full(request: pytest.FixtureRequest) -> bool:
    """Whether a test of a fault runs at full length."""
    return bool(request.config.getoption("--full"))


def pytest_configure(config: pytest.Config) -> None:
    config.stash[REPORT] = []


@pytest.fixture
def report(request: pytest.FixtureRequest) -> list[str]:
    """Lines that are printed at the end of the run."""
    return request.config.stash[REPORT]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    lines = config.stash[REPORT]
    if lines:
        terminalreporter.section("report")
        for line in lines:
            terminalreporter.write_line(line)
