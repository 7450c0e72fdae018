"""The text of a conversation: what is kept, what is told anew, and what cannot be read or cannot happen."""

from __future__ import annotations

import pytest

from support.conversations.script import ScriptError, read
from support.conversations.spoken import play

STORY = """A title

A story, of the
step that comes first.

Broken by: the moon

step credit  after start        pivot
step ship    at post   after credit.ok

"""


def told(*commands: str) -> str:
    """What stands below the last of these commands."""
    lines = play(STORY + "\n".join(commands)).splitlines()
    last = max(n for n, line in enumerate(lines) if line == commands[-1])
    return "\n".join(lines[last + 1 :])


def test_what_stands_at_the_margin_is_kept_and_what_is_indented_is_told_anew() -> None:
    written = STORY + "start\n  nonsense\n  more of it\n# A remark.\ndeliver _.start to credit\n"
    happened = play(written)
    assert happened.startswith(STORY + "start\n")
    assert "nonsense" not in happened
    assert "\n\n# A remark.\ndeliver _.start to credit\n  write  credit.begin" in happened
    assert play(happened) == happened


def test_a_conversation_says_which_saga_it_is_about_and_which_mutants_break_it() -> None:
    script = read(STORY + "start")
    assert [(step.name, step.participant, step.pivot) for step in script.saga.steps] == [
        ("credit", "credit", True),
        ("ship", "post", False),
    ]
    assert script.mutants == ("the moon",)


@pytest.mark.parametrize(
    "text",
    [
        "A title\n\nstart\n",
        "step credit  after start\n",
        "step credit  of start\n\nstart\n",
        STORY + "begin",
        STORY + "start\ndeliver start to credit",
        STORY + "start\ndeliver _.start to credit, credit.begin eaten",
        STORY + "start\ndeliver _.start to credit\ncredit answers well",
    ],
)
def test_what_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ScriptError):
        play(text)


@pytest.mark.parametrize(
    "command",
    [
        "deliver credit.end to post",
        "deliver _.start to post",
        "credit answers 200",
        "credit/2 is away",
        "credit goes on",
        "credit.begin arrives",
        "deliver _.start to credit, knowing _.abort",
    ],
)
def test_what_cannot_happen_is_told(command: str) -> None:
    assert told("start", command).startswith("  cannot ")


def test_a_write_or_a_read_may_strike_several_times() -> None:
    said = told(
        "start", "deliver _.start to credit, credit.begin lost twice, credit.begin unconfirmed, credit.begin unseen"
    )
    assert [" ".join(line.split()) for line in said.splitlines()] == [
        "write credit.begin no reply started by _.start, 3 times",
        "write credit.begin refused started by _.start",
        "read not credit.begin",
        "read credit.begin",
        "call POST /credit",
    ]
    assert "credit.begin, 30 times" in told(
        "start", "deliver _.start to credit", "deliver _.start to credit/2, until _.abort, credit.begin unseen 31 times"
    )


def test_it_stops_where_it_was_told_to_and_goes_on_from_there() -> None:
    assert told("start", "deliver _.start to credit, until credit.begin") == "  stops  before it writes credit.begin"
    again = "deliver _.start to credit, credit.begin lost, until credit.begin again"
    assert told("start", again).splitlines()[-1] == "  stops  before it writes credit.begin"
    assert "stored 2" in told("start", again, "credit goes on")


def test_all_that_waits_is_carried_on_until_something_stands() -> None:
    assert "ship" not in told("start", "carry on until credit.end")
    assert "ship.end done" in told("start", "carry on")
    assert told("start", "deliver _.start to credit", "carry on") == "", "what somebody has in hand is left to them"


def test_what_crashed_is_handed_out_again() -> None:
    crashed = ("start", "deliver _.start to credit", "credit crashes")
    assert told(*crashed) == "  drops  _.start"
    assert "POST /credit" in told(*crashed, "carry on until credit.end")


def test_an_instance_that_was_deleted_is_started_anew() -> None:
    deleted = ("start", "carry on", "delete the instance")
    assert told(*deleted, "cancel: changed my mind").startswith("  cannot ")
    assert told(*deleted, "start", "deliver _.start to credit").startswith("  write  credit.begin"), "not late"


def test_a_lease_stays_lost() -> None:
    stopped = ("start", "deliver _.start to credit, until credit.begin", "credit loses its lease")
    assert told(*stopped, "credit goes on").splitlines()[-1].startswith("  nak")


def test_what_is_handed_out_again_comes_again_though_it_was_acked() -> None:
    again = ("start", "carry on", "deliver _.start to credit, until credit.end", "credit crashes", "carry on")
    assert told(*again).split() == ["_.start", "to", "credit", "ack"]


def test_of_two_writes_that_were_held_up_the_one_that_is_meant_arrives() -> None:
    held = ("start", "deliver _.start to credit, credit.begin held up", "credit answers 200, then credit.end held up")
    assert told(*held, "credit.end arrives").split()[:3] == ["write", "credit.end", "refused"]


def test_what_the_protocol_would_not_write_may_be_forged() -> None:
    assert told("start", "forge _.abort").split()[:4] == ["write", "_.abort", "stored", "2"]
    assert "started by _.start" in told("start", "forge credit.begin started by _.start")
    assert "skipped (dead)" in told("start", "forge credit.begin skipped by _.start", "log")
    assert "undecided" in told("start", "forge _.outcome", "log"), "with a pivot nobody has a right to it"
    assert "dead" in told("start", "forge credit.end")
    with pytest.raises(ScriptError):
        told("start", "forge _.finish")


def test_the_log_says_what_was_decided_and_which_register_was_the_last() -> None:
    assert "undecided, and not ended" in told("start", "log")
    assert "committed, and not ended" in told("start", "carry on until credit.end", "log")
    assert "committed, and ended by ship.end" in told("start", "carry on", "log")
