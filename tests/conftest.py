"""Options and the closing report. No fixtures are shared through here; helpers live in `support`."""

from __future__ import annotations

import gc
from collections.abc import Generator, Iterator

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("timeless", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("timeless")
"""How long an example takes says how busy the machine is: with its default of 200 ms a test fails where others run."""

gc.disable()
"""Until all tests are collected: in CPython 3.11 a collection in the midst of parsing can end the run, by a SystemError
"AST constructor recursion depth mismatch"."""

REPORT = "report"


def pytest_collection_finish() -> None:
    gc.enable()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, object, object]:
    """The report of a failure parses source, too."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, default=0, help="first seed of every simulation: a replay, which may be short")
    parser.addoption("--schedules", type=int, default=0, help="schedules per shape, instead of the least that passes")
    parser.addoption("--rewrite", action="store_true", help="write into each conversation what happens in it now")
    parser.addoption("--full", action="store_true", help="faults at full length, not in short form")


@pytest.fixture(scope="session")
def full(request: pytest.FixtureRequest) -> bool:
    """Whether a test of a fault runs at full length."""
    return bool(request.config.getoption("--full"))


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Iterator[list[str]]:
    """Lines that are printed at the end of the run, whichever process the test ran in."""
    lines: list[str] = []
    yield lines
    request.node.user_properties += [(REPORT, line) for line in lines]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    ended = [test for test in terminalreporter.getreports("") if test.when == "teardown"]
    lines = dict.fromkeys(line for test in ended for name, line in test.user_properties if name == REPORT)
    if lines:
        terminalreporter.section("report")
        for line in lines:
            terminalreporter.write_line(line)
