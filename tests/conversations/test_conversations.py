"""Every conversation is what the protocol says today; `--rewrite` makes it so. And each mutant breaks its own."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Container, Mapping
from pathlib import Path

import pytest

from sagamesh.language import graph
from sagamesh.language.model import Saga
from sagamesh.log.registers import Name
from simulation.mutants import MUTANTS, Mutant, mutate
from support.conversations.script import read
from support.conversations.speaker import Conditions
from support.conversations.spoken import CANNOT, play
from support.conversations.talk import Talk

HERE = Path(__file__).parent
TEXTS = {path.stem: path.read_text() for path in sorted(HERE.glob("*.txt"))}
ACKED_FIRST = "a delivery is acked before anything is written"


def difference(path: Path, *, rewrite: bool) -> str:
    """What is told otherwise than it happens, as a diff; nothing, where it is rewritten."""
    told = path.read_text()
    happens = play(told)
    if rewrite:
        path.write_text(happens)
        return ""
    lines = difflib.unified_diff(told.splitlines(), happens.splitlines(), path.name, "what happens", lineterm="")
    return "\n".join(lines)


@pytest.mark.parametrize("name", TEXTS)
def test_it_is_what_happens(name: str, request: pytest.FixtureRequest) -> None:
    if different := difference(HERE / f"{name}.txt", rewrite=request.config.getoption("--rewrite")):
        pytest.fail(different, pytrace=False)


def test_a_difference_is_shown_until_it_is_rewritten(tmp_path: Path) -> None:
    path = tmp_path / "plain.txt"
    path.write_text(TEXTS["forward-2-plain-step"].replace("  call   POST /credit", "  call   POST /charge"))
    different = difference(path, rewrite=False)
    assert "-  call   POST /charge" in different
    assert "+  call   POST /credit" in different
    assert difference(path, rewrite=True) == ""
    assert path.read_text() == TEXTS["forward-2-plain-step"]


@pytest.mark.parametrize("name", TEXTS)
def test_it_is_fit_to_be_read(name: str) -> None:
    lines = TEXTS[name].splitlines()
    assert lines[1] == "", "a title, and an empty line"
    assert lines[2], "then the story"
    assert "log" in lines, "and at the end what stands in the log"
    assert not [line for line in lines if len(line) > 120 and not line.lstrip().startswith('{"request"')]
    assert not [line for line in lines if line.split()[:1] == [CANNOT]]


def broken_by(mutant: str) -> list[str]:
    """The conversations that name a mutant."""
    return [name for name, text in TEXTS.items() if mutant in read(text).mutants]


def breaks(mutant: str, tell: Callable[[str], str]) -> bool:
    """Whether each conversation that names a mutant comes to another end by it, at the latest in the log."""
    return all(end(tell(TEXTS[name])) != end(TEXTS[name]) for name in broken_by(mutant))


def end(text: str) -> list[str]:
    return text.split("\nlog\n")[1].split()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_breaks_the_conversations_that_name_it(mutant: Mutant) -> None:
    assert broken_by(mutant.name)
    handlers = mutate(mutant)
    assert breaks(mutant.name, lambda text: play(text, handlers))


def test_no_mutation_breaks_none() -> None:
    handlers = mutate(Mutant("none", (), ()))
    assert all(play(text, handlers) == play(text) for text in TEXTS.values())


def test_every_mutant_that_is_named_is_one() -> None:
    named = {mutant for text in TEXTS.values() for mutant in read(text).mutants}
    assert named == {*(mutant.name for mutant in MUTANTS), ACKED_FIRST, *WRONG_GRAPHS}


class AcksFirst(Talk):
    """A relay that acks a delivery before anything was written."""

    def deliver(self, name: Name, participant: str, replica: int, conditions: Conditions) -> None:
        super().deliver(name, participant, replica, conditions)
        for delivery in self.broker.deliveries:
            delivery.acked = delivery.acked or (delivery.register.name, delivery.participant) == (name, participant)


def test_ack_before_write_breaks_the_conversation_that_names_it() -> None:
    assert broken_by(ACKED_FIRST)
    assert breaks(ACKED_FIRST, lambda text: play(text, kind=AcksFirst))


def leaves(saga: Saga) -> tuple[str, ...]:
    return tuple(step.name for step in saga.steps if not graph.successors(saga)[step.name])


def next_alone(name: str, after: Mapping[str, tuple[str, ...]], wanted: Container[str]) -> tuple[str, ...]:
    return tuple(step for step in after[name] if step in wanted)


WRONG_GRAPHS: dict[str, tuple[str, Callable[..., object]]] = {
    "only leaves are sinks": ("sinks", leaves),
    "what only reads is not looked through": ("_nearest", next_alone),
}
"""Mutant -> the function of `graph` that it puts another in the place of."""


@pytest.mark.parametrize("mutant", WRONG_GRAPHS)
def test_a_wrong_projection_breaks_the_conversations_that_name_it(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, *WRONG_GRAPHS[mutant])
    assert broken_by(mutant)
    assert breaks(mutant, play)
