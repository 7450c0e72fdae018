"""What sidecars say beside their registers: the same lines, whether they run in this process or in their own."""

from __future__ import annotations

import logging
import re
import sys

import pytest

from sagamesh_cli.views.sidecar_news import NewsFormatter, of_line
from sagamesh_sidecar.json_logging import PARTICIPANT, JsonFormatter

FAILED = {"saga": "trip", "instance": "o-17", "step": "charge", "failures": 1, "reason": "POST /c answered 500: boom"}


def record(level: int, message: str, about: dict[str, object], error: BaseException | None = None) -> logging.LogRecord:
    trouble = (type(error), error, error.__traceback__) if error else None
    made = logging.LogRecord("sagamesh.app", level, "", 0, message, None, trouble)
    vars(made).update(about)
    return made


def both(made: logging.LogRecord) -> list[str]:
    """The line of a sidecar of `payments`, in this process and in another, without the time."""
    token = PARTICIPANT.set("payments")
    try:
        lines = [NewsFormatter().format(made), of_line("payments", JsonFormatter(pod="p-1").format(made).encode())]
    finally:
        PARTICIPANT.reset(token)
    assert all(re.match(r"\d\d:\d\d:\d\d\.\d{3}  ", line) for line in lines)
    return [line[14:] for line in lines]


@pytest.mark.parametrize(
    ("about", "told"),
    [
        (FAILED, "payments: it fails (o-17, charge, POST /c answered 500: boom)"),
        (FAILED | {"failures": 8}, "payments: it fails (o-17, charge, 8 times, POST /c answered 500: boom)"),
        ({"subject": "saga.x"}, "payments: it fails"),
        ({"instance": "o-17", "step": "", "reason": "\x1b[2Ja\nb"}, "payments: it fails (o-17, \\u001b[2Ja\\nb)"),
    ],
)
def test_a_line_says_whose_news_what_and_about_what(about: dict[str, object], told: str) -> None:
    assert both(record(logging.WARNING, "it fails", about)) == [told, told]


def test_a_fault_comes_with_its_traceback() -> None:
    try:
        raise ValueError("no")
    except ValueError:
        made = record(logging.ERROR, "it fails", {}, sys.exc_info()[1])
    here, there = both(made)
    assert here == there
    first, *_, last = here.splitlines()
    assert (first, last) == ("payments: it fails", "ValueError: no")


@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO])
def test_what_is_no_news_is_not_told(level: int) -> None:
    assert of_line("payments", JsonFormatter().format(record(level, "ready", {})).encode()) == ""


@pytest.mark.parametrize("line", [b"", b"Killed", b"\xff", b"{}", b"[]", b'{"level": "error", "time": 5}'])
def test_what_is_no_line_of_a_log_is_not_told(line: bytes) -> None:
    assert of_line("payments", line) == ""
