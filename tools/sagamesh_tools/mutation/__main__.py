"""Draws single-point changes of a module, and says which of them no test sees.

    python -m sagamesh_tools.mutation sagamesh.protocol.decision                        # 30, by a seed that is printed
    python -m sagamesh_tools.mutation sagamesh.protocol.decision --seed 7 --count 0     # all of them
    python -m sagamesh_tools.mutation sagamesh.protocol.decision --only 5f0c2a91        # this one again

A survivor needs a test. One that is without effect needs an entry in `tests/mutants.toml`, by the fields that are
printed and with its reason.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import signal
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sagamesh_tools.mutation import record
from sagamesh_tools.mutation.changes import MutantKey, SourceMutant, mutants
from sagamesh_tools.mutation.trial import (
    ModuleTests,
    MutantFate,
    TrialError,
    UnchangedRun,
    run_changed,
    run_unchanged,
)

ROOT = Path(__file__).parents[3]
DRAWN = 30
"""Changes of one run: minutes, where the tests of a module take seconds."""
SURVIVORS = (MutantFate.SURVIVED, MutantFate.NOT_RUN)


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Try some changes; 1 where one of them survives that is not excused, or where nothing can be said."""
    options = _parser().parse_args(arguments)
    try:
        return _report(options, root)
    except (record.RecordError, TrialError) as error:
        print(error, file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("module", help="by its name, as it is imported")
    parser.add_argument("--seed", type=int, default=random.randrange(10_000))
    parser.add_argument("--count", type=int, default=DRAWN, help="how many; 0: all")
    parser.add_argument("--jobs", type=int, default=2, help="how many at once")
    parser.add_argument("--only", nargs="+", default=[], help="changes by the names that were printed")
    return parser


def _report(options: argparse.Namespace, root: Path) -> int:
    known = record.read(root)
    file = record.module_file(root, options.module)
    what = ModuleTests(root=root, file=file.relative_to(root), tests=record.tests_of(root, options.module, known))
    possible = mutants(options.module, file.read_text())
    every = [each for each in possible if each.key not in known.excused]
    chosen = named(every, options.only) if options.only else draw(every, options.seed, options.count)
    excused = f"; {len(possible) - len(every)} are known to be without effect" if len(possible) > len(every) else ""
    print(f"{len(chosen)} of {len(every)} changes of {options.module}, seed {options.seed}{excused}", flush=True)
    fates = _try(what, chosen, run_unchanged(what), options.jobs)
    print(", ".join(f"{fates[fate]} {fate.value}" for fate in MutantFate if fates[fate]) or "nothing can be changed")
    return int(any(fates[fate] for fate in SURVIVORS))


def draw(every: Sequence[SourceMutant], seed: int, count: int) -> list[SourceMutant]:
    """By the seed and the change's own name: what else is possible, or excused, moves no change in or out of line."""
    order = sorted(every, key=lambda each: hashlib.sha256(f"{seed} {each.key}".encode()).digest())
    return order[: count or None]


def named(every: Sequence[SourceMutant], names: Sequence[str]) -> list[SourceMutant]:
    """Raises RecordError for a name that no change has, or one that is excused."""
    by_name = {name(each.key): each for each in every}
    if unknown := [each for each in names if each not in by_name]:
        raise record.RecordError(f"No change has the name {', '.join(unknown)}, or it is known to be without effect.")
    return [by_name[each] for each in names]


def name(key: MutantKey) -> str:
    """Short, for `--only`; the same as long as the change is possible."""
    return hashlib.sha256(str(key).encode()).hexdigest()[:8]


def _try(what: ModuleTests, chosen: Sequence[SourceMutant], unchanged: UnchangedRun, jobs: int) -> Counter[MutantFate]:
    """How they end; survivors are printed as soon as they are known."""

    def fate_of(mutant: SourceMutant) -> MutantFate:
        met = unchanged.lines.intersection(mutant.statement)
        return run_changed(what, mutant.source, unchanged) if met else MutantFate.NOT_RUN

    fates: Counter[MutantFate] = Counter()
    with ThreadPoolExecutor(jobs) as pool:
        for mutant, fate in zip(chosen, pool.map(fate_of, chosen), strict=True):
            fates[fate] += 1
            if fate in SURVIVORS:
                print("\n".join(_told(mutant, what.file, fate)), flush=True)
    return fates


def _told(mutant: SourceMutant, file: Path, fate: MutantFate) -> list[str]:
    key = mutant.key
    nth = f", nth = {key.nth}" if key.nth > 1 else ""
    return [
        f"{name(key)} {fate.value}: {file}:{mutant.line}, {key.function or 'module'}, {key.kind}{nth}",
        f"  - {key.was}",
        f"  + {key.now}",
    ]


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # in order: what runs ends by itself and is cleaned away
    sys.exit(main())
