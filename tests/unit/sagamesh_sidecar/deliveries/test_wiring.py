"""Mistakes of wiring: told at once, and of many instances once a minute."""

from __future__ import annotations

import logging

import pytest

from sagamesh.protocol.answers import Answer, Answered, Away, Unanswered
from sagamesh.protocol.effects import Call, CallKind
from sagamesh_sidecar.deliveries.wiring import SILENCE, Wiring


def observe(watch: Wiring, answer: Answer, *, saga: str = "s", step: str = "book", kind: CallKind = "action") -> None:
    watch.observe(saga, step, Call(kind, "/slots", b"", 5.0, "e"), answer)


def no(status: int, **headers: str) -> Answered:
    return Answered(status, headers, b"")


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[str, int, str, str, str]]:
    return [(r.getMessage(), r.levelno, *(vars(r)[key] for key in ("saga", "step", "reason"))) for r in caplog.records]


def test_it_is_told_at_once_with_method_path_status_and_location(caplog: pytest.LogCaptureFixture) -> None:
    observe(Wiring(), no(307, location="/slots/"))
    reason = "POST /slots answered 307, Location: /slots/"
    assert told(caplog) == [("a mistake of wiring", logging.WARNING, "s", "book", reason)]


def test_of_many_instances_it_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    watch = Wiring(now=lambda: 1.0)
    for _ in range(1000):
        observe(watch, no(401))
    assert len(caplog.records) == 1


def test_it_is_told_again_after_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now = 1.0  # a monotonic clock's beginning need not be long before the first mistake
    watch = Wiring(now=lambda: now)
    observe(watch, no(401))
    now += SILENCE - 0.01
    observe(watch, no(401))
    assert len(caplog.records) == 1
    now += 0.01
    observe(watch, no(401))
    assert len(caplog.records) == 2


def test_each_mistake_is_told(caplog: pytest.LogCaptureFixture) -> None:
    watch = Wiring()
    observe(watch, no(401))
    observe(watch, no(405))
    observe(watch, no(401), saga="other")
    observe(watch, no(401), step="other")
    observe(watch, no(401), kind="compensation")
    assert len(caplog.records) == 5


def test_a_path_that_is_not_there_is_one_at_a_compensation(caplog: pytest.LogCaptureFixture) -> None:
    observe(Wiring(), no(404))
    assert not caplog.records
    observe(Wiring(), no(404), kind="compensation")
    assert told(caplog)[0][4] == "POST /slots answered 404: is the path right?"


@pytest.mark.parametrize("answer", [no(200), no(422), no(409), no(500), no(503), Away(), Unanswered("reset")], ids=str)
def test_nothing_else_is_told(caplog: pytest.LogCaptureFixture, answer: Answer) -> None:
    observe(Wiring(), answer)
    observe(Wiring(), answer, kind="compensation")
    assert not caplog.records


def test_however_long_an_answer_is_the_line_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    observe(Wiring(), Answered(401, {"location": "/" + "x" * 9000}, b'{"detail": "%s"}' % (b"x" * 9000)))
    assert len(told(caplog)[0][4]) == 500
