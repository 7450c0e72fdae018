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
    """`shapes`: in each of them it shows. `edits`: (module, text, text in its place). `short`: what it is called."""

    name: str
    shapes: tuple[str, ...]
    edits: tuple[tuple[ModuleType, str, str], ...]
    short: str = ""

    def __str__(self) -> str:
        return f"{self.short}: {self.name}" if self.short else self.name


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
READ_AND_BELIEVE = """        take(known, (yield Pause(turn)))
    known.absent.update(name for name in names if name not in known.registers)


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
    if ABORT not in at.known.registers:"""
STOPPED = """        case Aborted(cause=cause):
            return ACK"""
UNDECIDED = """        case None:
            return (Write(OUTCOME, Committed()),) if local.pivot is None else ACK"""
AT_WORK = "        return fits\n    return Need(come_back(at))"
FITS = "    if ended is None and not known.mine(step.begin) and isinstance(fits := begin_fits(at, begun), Need):"

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
        ("nested diamond with an independent root", "pivot behind two roots"),
        ((situation, "register.sequence > at.delivery.register.sequence or ", ""),),
        "anyowner",
    ),
    Mutant(
        "the notice is acked where it should come back",
        ("straight 2", "two roots"),
        ((situation, AT_WORK, "        return fits\n    return LEAVE_IT"),),
    ),
    Mutant(
        "the notice is acked while an open step is at work",
        ("straight 1", "two roots"),
        (
            (
                situation,
                AT_WORK,
                "        return fits\n    return LEAVE_IT if at.step.rules.open else Need(come_back(at))",
            ),
        ),
        "ackopen",
    ),
    Mutant(
        "compensations do not wait for what is behind",
        ("straight 2", "straight 3"),
        ((decision, "if isinstance(undone := are_there(at, *at.behind), Need):", "if False:"),),
        "nowait",
    ),
    Mutant(
        "a step that never ran waits for what is behind",
        (
            "nested diamond with an independent root",
            "choice and merge of unequal branches",
            "two steps of one participant",
        ),
        ((decision, "if isinstance(known.value(step.begin), Cancelled):", "if False:"),),
        "deadwait",
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
        ((decision, "if isinstance(ended, Done | Failed) else nothing", "if isinstance(ended, Done) else nothing"),),
    ),
    Mutant(
        "an open root that hears of the abort counts as never run",
        ("pivot behind two roots", "parallel order with two roots"),
        ((decision, "    if at.step.rules.open:\n        return end_failed(at, ", NEVER_RUN),),
        "never",
    ),
    Mutant(
        "the notice is believed without the outcome",
        ("straight 2", "two roots", "pivot in the middle"),
        (
            (situation, "    if (wrong := implausible(at.rules.local, at.known.registers)) is None:", "    if True:"),
            (decision, "if not isinstance(aborted := decided(at), Aborted):", BELIEVED),
        ),
        "noticealone",
    ),
    Mutant(
        "how a step was begun is believed, whoever wrote it",
        ("pivot behind a diamond", "pivot skipped, with one sink after it", "pivot behind two roots"),
        ((decision, FITS, "    if False:"),),
    ),
    Mutant(
        "a skipped that the inputs contradict is believed",
        ("pivot skipped, with one sink after it", "pivot on one branch"),
        ((decision, FITS, FITS.replace("ended is None", "ended is None and isinstance(begun, Started)")),),
    ),
    Mutant(
        "a step that another delivery is said to have begun is left to that one",
        ("pivot behind a diamond", "pivot behind two roots"),
        ((decision, FITS, FITS.replace("ended is None", "begun.delivery == at.delivery.subject")),),
    ),
    Mutant(
        "a step that failed beside a pivot that was begun is acked",
        ("nothing undoable before the pivot", "pivot in the middle", "pivot last"),
        (
            (
                decision,
                "    if isinstance(plausible := is_plausible(at), Need):\n        return plausible.effects\n    cause",
                "    cause",
            ),
        ),
    ),
    Mutant(
        "a finish is written where one register is the last",
        ("straight 2", "straight 1"),
        ((decision, "len(last) == 1 or ", ""),),
        "lonefinish",
    ),
    Mutant(
        "a sink ignores a failed one",
        ("two roots", "fan-out"),
        (
            (
                situation,
                "    if any(isinstance(at.known.value(name), Failed) for name in others):\n        return LEAVE_IT\n",
                "",
            ),
        ),
    ),
    Mutant(
        "a sink that finds the saga aborted writes no notice",
        ("choice and merge of unequal branches", "join with the start", "pivot skipped, and the only sink"),
        ((decision, "        case Aborted(cause=cause):\n            return give_notice(known, cause)", STOPPED),),
    ),
    Mutant(
        "sinks of a skipped pivot write no outcome",
        ("pivot skipped", "pivot skipped, and the only sink"),
        ((decision, "        case None:\n            return (Write(OUTCOME, Committed()),)", UNDECIDED),),
        "nopivotoutcome",
    ),
    Mutant(
        "a sink takes a pivot whose begin it does not see for one that was skipped",
        ("pivot on one branch", "pivot skipped", "pivot that chooses"),
        ((situation, "    if (name := registers.begin(pivot)) not in", NO_WAIT),),
    ),
    Mutant(
        "a pivot that sees cancelled does not carry the abort on",
        ("pivot in the middle", "pivot with two retriable sinks", "pivot behind two roots"),
        ((decision, "return give_notice(known, cause) if step.rules.pivot else ACK", "return ACK"),),
    ),
    Mutant(
        "an abort goes past the pivot's latch",
        ("pivot in the middle", "pivot last", "pivot behind two roots"),
        (
            (decision, "return (Write(latch, Cancelled(cause), guarded=known.late),)", "pass"),
            (decision, "case None if latch is None or isinstance(known.value(latch), Skipped):", "case None:"),
        ),
        "nolatch",
    ),
    Mutant(
        "an abort that finds the pivot skipped writes no outcome",
        ("pivot skipped", "pivot on one branch"),
        (
            (
                decision,
                "case None if latch is None or isinstance(known.value(latch), Skipped):",
                "case None if not latch:",
            ),
        ),
        "skiplatch",
    ),
    Mutant(
        "outcome aborted without the notice",
        ("straight 2",),
        ((decision, "        case Aborted(cause=said):\n            return give_notice(known, said)\n", ""),),
        "nonotice",
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
