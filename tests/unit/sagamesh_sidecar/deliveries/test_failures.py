"""Calls that fail: the first of a step is told at once, then each doubling, and of many instances some."""

from __future__ import annotations

import logging

import pytest

from sagamesh.log.registers import Instance, Origin
from sagamesh.protocol.answers import Answer, Answered, Unanswered
from sagamesh.protocol.effects import CallKind
from sagamesh_sidecar.deliveries.failures import Failures
from sagamesh_sidecar.deliveries.tally import CallCount
from sagamesh_sidecar.deliveries.work import Work

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
AGAIN = "a call failed, and is made again"


def calls(name: str = "i-1", step: str = "book", kind: CallKind = "action", saga: str = "trip") -> Work:
    instance, origin = Instance("shop", saga, name), Origin("r-1", 1, 1.0, "revision", "pod", "attempt")
    return Work(instance, origin, step, TRACE, count=CallCount(instance, step, kind))


def no(status: int) -> Answered:
    return Answered(status, {}, b"")


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[str, int]]:
    return [(record.getMessage(), vars(record)["failures"]) for record in caplog.records]


def test_it_is_told_of_which_step_of_which_instance(caplog: pytest.LogCaptureFixture) -> None:
    Failures().tell(calls(), no(500), "POST /slots answered 500: boom")
    [record] = caplog.records
    assert (record.levelno, record.getMessage()) == (logging.WARNING, AGAIN)
    about = {
        "saga": "trip",
        "instance": "i-1",
        "step": "book",
        "run": "r-1",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "failures": 1,
        "reason": "POST /slots answered 500: boom",
    }
    assert about.items() <= vars(record).items()


def test_each_doubling_is_told_again(caplog: pytest.LogCaptureFixture) -> None:
    now, failures, count = 0.0, Failures(now=lambda: now), calls()
    for _ in range(100):
        failures.tell(count, Unanswered("reset"), "reset")
        now += 10.0
    assert told(caplog) == [(AGAIN, number) for number in (1, 2, 4, 8, 16, 32, 64)]


def test_of_many_instances_some_are_told_and_later_some_again(caplog: pytest.LogCaptureFixture) -> None:
    now = 1.0  # a monotonic clock's beginning need not be long before the first failure
    failures = Failures(now=lambda: now)
    for number in range(1000):
        failures.tell(calls(str(number)), no(500), "no")
        now += 60.0 / 1000 * (number < 999)
    assert len(caplog.records) == 10
    now = 1.0 + 60.0
    for number in range(1000):
        failures.tell(calls(str(number)), no(500), "no")
    assert len(caplog.records) == 20


def test_others_are_told_though_there_were_many_of_one_step(caplog: pytest.LogCaptureFixture) -> None:
    failures = Failures(now=lambda: 0.0)
    for number in range(1000):
        failures.tell(calls(str(number)), no(500), "no")
    caplog.clear()
    for other in (calls(step="pay"), calls(kind="compensation"), calls(saga="tour")):
        failures.tell(other, no(500), "no")
    assert told(caplog) == [(AGAIN, 1)] * 3


@pytest.mark.parametrize("status", [307, 401, 405, 406, 407, 415])
@pytest.mark.parametrize("kind", ["action", "compensation"])
def test_a_mistake_of_wiring_is_called_so(caplog: pytest.LogCaptureFixture, kind: CallKind, status: int) -> None:
    Failures().tell(calls(kind=kind), no(status), "no")
    assert told(caplog) == [("a mistake of wiring", 1)]


def test_a_path_that_is_not_there_is_one_at_a_compensation(caplog: pytest.LogCaptureFixture) -> None:
    answer: Answer = no(404)
    Failures().tell(calls(), answer, "no")
    Failures().tell(calls(kind="compensation"), answer, "no")
    assert told(caplog) == [(AGAIN, 1), ("a mistake of wiring", 1)]
