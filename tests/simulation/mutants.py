"""Wrong versions of the protocol: edits of its source text, applied in memory.

An edit must match exactly once, so a mutant that the code outgrew fails its test instead of passing by accident.
"""

from __future__ import annotations
import __future__

import ast
import inspect
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from sagamesh.protocol import attempt, commands, decision, situation
from sagamesh.simulation import Handlers

MODULES: tuple[ModuleType, ...] = (situation, decision, attempt, commands)
"""The protocol, each module after those that it takes functions from."""


@dataclass(frozen=True)
class Mutant:
    """`shapes`: where it is bound to show. `edits`: (module, text, text in its place)."""

    name: str
    shapes: tuple[str, ...]
    edits: tuple[tuple[ModuleType, str, str], ...]


def mutate(mutant: Mutant) -> Handlers:
    """The protocol with a mutant's edits."""
    changed: dict[str, Any] = {}
    for module in MODULES:
        source = inspect.getsource(module)
        for where, old, new in mutant.edits:
            if where is module:
                assert source.count(old) == 1, f"{mutant.name}: matches {source.count(old)} times, not once: {old}"
                source = source.replace(old, new)
        changed |= _functions(module, source, changed)
    return Handlers(attempt=changed["attempt"], settle=changed["settle"], cancel=changed["cancel"])


def _functions(module: ModuleType, source: str, changed: dict[str, Any]) -> dict[str, Any]:
    """The functions of a module, made anew; its classes stay, so that both versions speak of the same effects."""
    tree = ast.parse(source)
    tree.body = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    space = {**vars(module), **{name: made for name, made in changed.items() if name in vars(module)}}
    exec(compile(tree, module.__file__ or "", "exec", flags=__future__.annotations.compiler_flag), space)
    return {node.name: space[node.name] for node in tree.body if isinstance(node, ast.FunctionDef)}


READ_AND_STOP = """        take(known, (yield Pause(turn)))
    raise LogStuckError


def _fetch"""
READ_AND_BELIEVE = """    known.absent.add(name)


def _fetch"""

MUTANTS = (
    Mutant(
        "an absence is believed without a marker",
        ("diamond", "two roots"),
        (
            (
                situation,
                "return Need((Prove(name),))",
                "at.known.absent.add(name)\n            return Need((Read(()),))",
            ),
        ),
    ),
    Mutant(
        "what a begun step implies is believed absent",
        ("diamond", "nested diamond with an independent root", "straight 2"),
        (
            (
                situation,
                "if unseen := tuple(name for name in implied if name not in at.known.registers):",
                "if unseen := ():",
            ),
        ),
    ),
    Mutant(
        "an absent read after a lost write is believed",
        ("diamond",),
        (
            (attempt, "for turn in range(READS_UNTIL_PRESENT):", "for turn in range(1):"),
            (attempt, READ_AND_STOP, READ_AND_BELIEVE),
        ),
    ),
    Mutant(
        "whichever delivery wins begin owns the step",
        ("diamond", "pivot behind a diamond"),
        ((decision, "register.sequence > at.delivery.register.sequence or ", ""),),
    ),
    Mutant(
        "the notice is acked where it should come back",
        ("straight 2", "two roots"),
        ((decision, "return come_back(at)  # its owner is still at work", "return ACK"),),
    ),
    Mutant(
        "compensations do not wait for successors",
        ("straight 2", "straight 3"),
        ((decision, "if isinstance(undone := are_there(at, *behind), Need):", "if isinstance(undone := None, Need):"),),
    ),
    Mutant(
        "a failed step is not compensated",
        ("straight 2", "straight 3"),
        (
            (
                decision,
                "or not isinstance(ended, Done | Failed):\n        return (Write(step.compensation, Nothing()),)",
                "or not isinstance(ended, Done):\n        return (Write(step.compensation, Nothing()),)",
            ),
        ),
    ),
    Mutant(
        "a sink ignores a failed one",
        ("two roots", "fan-out"),
        (
            (
                decision,
                "    if any(isinstance(at.known.value(name), Failed) for name in others):\n        return ACK\n",
                "",
            ),
        ),
    ),
    Mutant(
        "a sink stops when it lost to committed",
        ("pivot in the middle", "pivot last"),
        (
            (
                decision,
                "    if at.rules.local.pivot is not None and FINISH not in at.known.registers:",
                "    if at.known.mine(OUTCOME) and at.rules.local.pivot and FINISH not in at.known.registers:",
            ),
        ),
    ),
    Mutant(
        "a sink that lost to aborted writes no notice",
        ("straight 1", "straight 2"),
        (
            (
                decision,
                "    if isinstance(outcome, Aborted):\n        return conclude_abort(at.known, outcome.cause)",
                "    if isinstance(outcome, Aborted):\n        return ACK",
            ),
        ),
    ),
    Mutant(
        "a pivot that sees cancelled does not carry the abort on",
        ("pivot in the middle", "pivot last"),
        ((decision, "return conclude_abort(at.known, cause) if at.step.rules.pivot else ACK", "return ACK"),),
    ),
    Mutant(
        "an abort goes past the pivot's latch",
        ("pivot in the middle", "pivot last", "pivot first"),
        ((decision, "if rules.local.pivot is not None and ABORT not in known.registers:", "if False:"),),
    ),
    Mutant(
        "outcome aborted without the notice",
        ("straight 2",),
        ((decision, "if isinstance(outcome, Aborted) and ABORT not in known.registers:", "if False:"),),
    ),
    Mutant(
        "a pivot that cannot be evaluated parks",
        ("pivot with expressions",),
        (
            (
                decision,
                "    if at.step.rules.retriable:\n        return (told",
                "    if at.step.must_succeed:\n        return (told",
            ),
        ),
    ),
    Mutant(
        "a retriable step that cannot be evaluated fails",
        ("pivot with expressions",),
        ((decision, "    if at.step.rules.retriable:\n        return (told", "    if False:\n        return (told"),),
    ),
    Mutant(
        "an answer that no expression fits is asked for again",
        ("expressions everywhere",),
        (
            (
                decision,
                "        event, told = at.step.emits[-1][0], (Tell(error.place, str(error)),)",
                "        return retry(at, at.step.rules.action.retry, str(error))",
            ),
        ),
    ),
    Mutant(
        "a compensation whose body cannot be evaluated is not called",
        ("expressions everywhere",),
        (
            (
                decision,
                "        return calls.compensation(step, at.known, at.delivery, begun, ended)",
                "        made = calls.compensation(step, at.known, at.delivery, begun, ended)\n"
                "        return made if len(made) == 1 else come_back(at)",
            ),
        ),
    ),
    Mutant(
        "an any-merge waits for absent inputs",
        ("choice and merge of unequal branches", "choice and merge"),
        ((decision, "    if brings(at, at.incoming):\n        return YES\n", ""),),
    ),
    Mutant(
        "a delivery is acked when its first own step is settled",
        ("everything at one participant", "two steps of one participant"),
        (
            (attempt, "if len(results) < steps:", "if not any(isinstance(result, Ack) for result in results):"),
            (attempt, "naks = [result for result in results if isinstance(result, Nak)]", "naks = []"),
        ),
    ),
)
