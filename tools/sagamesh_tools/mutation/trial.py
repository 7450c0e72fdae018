"""One run of the tests on a copy of a module, changed or not. The working tree is not touched.

The copy is seen by the processes that tests start, too: the package stands first on PYTHONPATH, before what an editable
install names. Around it links stand for the rest of the repository, so that code finds its neighbours by `__file__`.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from sagamesh_tools.mutation import lines

PATIENCE = 4
"""So many times the duration of the unchanged run, which is slow enough itself, being traced."""
LEAST_SECONDS = 10.0
"""Before that nothing has hung: another process may have had the machine."""
OUTPUT_LINES = 40
"""So much of the output is shown where the tests fail on the unchanged module: a failure and the summary."""


class MutantFate(Enum):
    CAUGHT = "caught"
    HUNG = "hung, and so caught"
    SURVIVED = "survived"
    NOT_RUN = "survived, not run by any test"


@dataclass(frozen=True, kw_only=True)
class ModuleTests:
    """A module's file and the tests that should see it, as paths that start at `root`."""

    root: Path
    file: Path
    tests: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class UnchangedRun:
    """What the tests do with the module as it is. `lines`: those of its file that ran."""

    duration_s: float
    lines: frozenset[int]


class TrialError(RuntimeError):
    """The tests fail without any change, or see nothing of the module."""


def run_unchanged(what: ModuleTests) -> UnchangedRun:
    """Raises TrialError."""
    with _copied(what, (what.root / what.file).read_text()) as place:
        tracing, notes = place / "tracing", place / "notes"
        tracing.mkdir()
        arguments = str(_room(what, place) / _in_room(what)), str(notes)
        (tracing / "sitecustomize.py").write_text(f"from {lines.__name__} import trace\n\ntrace{arguments}\n")
        begun = time.monotonic()
        if _run(what, place, tracing):
            shown = (place / "output").read_text().splitlines()[-OUTPUT_LINES:]
            raise TrialError("\n".join([*shown, "The tests fail before anything is changed."]))
        duration_s = time.monotonic() - begun
        ran = frozenset(map(int, notes.read_text().split()))
        if not ran:
            raise TrialError(f"{' '.join(what.tests)}: no test runs a line of {what.file}.")
        return UnchangedRun(duration_s=duration_s, lines=ran)


def run_changed(what: ModuleTests, source: str, unchanged: UnchangedRun) -> MutantFate:
    """What the tests say of the module with another source."""
    with _copied(what, source) as place:
        try:
            return MutantFate.CAUGHT if _run(what, place, limit_s=patience_s(unchanged)) else MutantFate.SURVIVED
        except subprocess.TimeoutExpired:
            return MutantFate.HUNG


def patience_s(unchanged: UnchangedRun) -> float:
    """After how long a changed module has hung."""
    return max(LEAST_SECONDS, PATIENCE * unchanged.duration_s)


@contextmanager
def _copied(what: ModuleTests, source: str) -> Iterator[Path]:
    """A folder with the repository: links, and a copy of the module's package, with `source` in the module's place."""
    package = what.root / what.file.parts[0] / _in_room(what).parts[0]
    with tempfile.TemporaryDirectory(prefix="sagamesh-mutant-", ignore_cleanup_errors=True) as place:
        room = _room(what, Path(place))
        room.mkdir(parents=True)
        for entry in [*what.root.iterdir(), *package.parent.iterdir()]:
            if entry not in (package.parent, package):
                (room if entry.parent == package.parent else room.parent).joinpath(entry.name).symlink_to(entry)
        # What was compiled of the old source must go: it may have the size of the new one, and its second.
        stale = shutil.ignore_patterns(f"{what.file.stem}.*.pyc")
        shutil.copytree(package, room / package.name, ignore=stale)
        (room / _in_room(what)).write_text(source)
        yield Path(place)


def _room(what: ModuleTests, place: Path) -> Path:
    """The copy of the folder that holds the package."""
    return place / "repository" / what.file.parts[0]


def _in_room(what: ModuleTests) -> Path:
    return what.file.relative_to(what.file.parts[0])


def _run(what: ModuleTests, place: Path, *more: Path, limit_s: float | None = None) -> int:
    """How pytest ends. Raises subprocess.TimeoutExpired; then all of its process group has been killed."""
    earlier = os.environ.get("PYTHONPATH")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([*map(str, more), str(_room(what, place)), *([earlier] if earlier else [])]),
        "HYPOTHESIS_STORAGE_DIRECTORY": str(place / "hypothesis"),  # or the next run replays what failed for a change
    }
    # -P: the current folder is not put before PYTHONPATH.
    command = [sys.executable, "-P", "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *what.tests]
    with (place / "output").open("wb") as output:
        process = subprocess.Popen(
            command, cwd=what.root, env=environment, stdout=output, stderr=output, start_new_session=True
        )
        try:
            return process.wait(limit_s)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
