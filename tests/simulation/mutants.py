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

from sagamesh.protocol import attempt, commands, decision, endings, situation
from sagamesh.simulation import Handlers

MODULES: tuple[ModuleType, ...] = (endings, situation, decision, attempt, commands)
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

LOOKED_FOR = """
    if isinstance(looked := looked_at(at, *names), Need):
        return looked
    if any(name not in at.known.registers for name in names):
        return LEAVE_IT
"""
NO_WAIT = """    if registers.begin(pivot) not in at.known.registers:
        return YES
    if (name := registers.begin(pivot)) not in"""
NEVER_RUN = """    if at.step.rules.open:
        return (Write(at.step.end, Dead()),)
        return end_failed(at, """
BELIEVED = """aborted = Aborted(Cause("cancelled"))
    if ABORT not in known.registers:"""
STOPPED = """        case Aborted(cause=cause):
            return ACK"""
UNDECIDED = """        case None:
            return (Write(OUTCOME, Committed()),) if local.pivot is None else ACK"""
CANCELLED = """        return ACK
    match known.value(step.begin):"""
SKIPPED_TOO = """            case Started() | Skipped():
                return ACK"""

MUTANTS = (
    Mutant(
        "an absence is believed without a marker",
        ("diamond", "two roots"),
        (
            (situation, "    for end in range(len(names), 0, -MANY):\n", LOOKED_FOR + "    for end in ():\n"),
            (
                situation,
                "    if isinstance(inputs := are_certain(at, *names), Need):\n        return inputs\n",
                LOOKED_FOR,
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
        ("nested diamond with an independent root", "two steps of one participant"),
        ((situation, "register.sequence > at.delivery.register.sequence or ", ""),),
    ),
    Mutant(
        "the notice is acked where it should come back",
        ("straight 2", "two roots"),
        ((decision, "return come_back(at)  # its owner is still at work", "return ACK  #"),),
    ),
    Mutant(
        "the notice is acked while an open step is at work",
        ("straight 1", "two roots"),
        (
            (
                decision,
                "return come_back(at)  # its owner is still at work",
                "return ACK if step.rules.open else come_back(at)  #",
            ),
        ),
    ),
    Mutant(
        "compensations do not wait for what is behind",
        ("straight 2", "straight 3"),
        (
            (
                decision,
                "if isinstance(undone := are_there(at, *map(registers.compensation, behind)), Need):",
                "if False:",
            ),
        ),
    ),
    Mutant(
        "a step that never ran waits for what is behind",
        ("straight 3", "straight 5"),
        ((decision, "if isinstance(known.value(step.begin), Cancelled):", "if False:"),),
    ),
    Mutant(
        "a step that was skipped counts as one that never ran",
        ("when in mid-chain",),
        (
            (
                decision,
                "if isinstance(known.value(step.begin), Cancelled):",
                "if isinstance(known.value(step.begin), Cancelled | Skipped):",
            ),
        ),
    ),
    Mutant(
        "a failed step is not compensated",
        ("straight 2", "straight 3"),
        ((decision, "not isinstance(ended, Done | Failed):", "not isinstance(ended, Done):"),),
    ),
    Mutant(
        "an open root that hears of the abort counts as never run",
        ("straight 2", "two roots", "straight 1"),
        ((decision, "    if at.step.rules.open:\n        return end_failed(at, ", NEVER_RUN),),
    ),
    Mutant(
        "the notice is believed without the outcome",
        ("straight 2", "two roots", "pivot in the middle"),
        (
            (decision, "    if (wrong := implausible(local, known.registers)) is not None:", "    if wrong := None:"),
            (decision, "if not isinstance(aborted := decided(at), Aborted):", BELIEVED),
        ),
    ),
    Mutant(
        "a sink ignores a failed one",
        ("two roots", "fan-out"),
        (
            (
                decision,
                "    if any(isinstance(known.value(name), Failed) for name in others):\n        return ACK\n",
                "",
            ),
        ),
    ),
    Mutant(
        "a sink that finds the saga aborted writes no notice",
        ("straight 1", "straight 2"),
        ((decision, "        case Aborted(cause=cause):\n            return give_notice(known, cause)", STOPPED),),
    ),
    Mutant(
        "sinks of a skipped pivot write no outcome",
        ("pivot skipped", "pivot skipped, and the only sink"),
        ((decision, "        case None:\n            return (Write(OUTCOME, Committed()),)", UNDECIDED),),
    ),
    Mutant(
        "a sink takes a pivot whose begin it does not see for one that was skipped",
        ("pivot with two retriable sinks", "pivot that chooses"),
        ((situation, "    if (name := registers.begin(pivot)) not in", NO_WAIT),),
    ),
    Mutant(
        "a pivot that sees cancelled does not carry the abort on",
        ("pivot in the middle", "pivot last"),
        (
            (
                decision,
                "known.value(step.begin))) is not None:\n        return give_notice(known, cause)",
                "known.value(step.begin))) is not None:\n        return ACK",
            ),
        ),
    ),
    Mutant(
        "an abort goes past the pivot's latch",
        ("pivot in the middle", "pivot last", "pivot behind two roots"),
        ((decision, "return (Write(latch, Cancelled(cause), guarded=known.late),)", "pass"),),
    ),
    Mutant(
        "an abort that finds the pivot skipped writes no outcome",
        ("pivot skipped", "pivot on one branch"),
        ((decision, "            case Started():\n                return ACK  # the pivot decides", SKIPPED_TOO),),
    ),
    Mutant(
        "outcome aborted without the notice",
        ("straight 2",),
        ((decision, "return give_notice(known, stands.cause) if isinstance(stands, Aborted) else ACK", "return ACK"),),
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
                "else calls.compensation(step, known, at.delivery, begun, ended, cause)",
                "else made if len(made := calls.compensation(step, known, at.delivery, begun, ended, cause)) == 1 "
                "else come_back(at)",
            ),
        ),
    ),
    Mutant(
        "an any-merge waits for absent inputs",
        ("choice and merge of unequal branches", "choice and merge"),
        ((situation, "    if brings(at, at.incoming):\n        return YES\n", ""),),
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
