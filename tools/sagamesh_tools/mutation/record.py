"""`tests/mutants.toml`: which tests should see a module, and which changes have no effect, each with its reason.

An entry that says nothing is an error, and so is one that matches no possible change any more: it would excuse nothing,
or, worse, something else one day.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from sagamesh_tools.mutation.changes import MutantKey, mutants

FILE = Path("tests", "mutants.toml")


class RecordError(ValueError):
    """What is wrong with the record, as a sentence."""


class JudgedMutant(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change that no test can see, and why."""

    module: str
    kind: str
    was: str
    now: str
    reason: Annotated[str, Meta(pattern=r"\S+\s+\S")]
    function: str = ""
    nth: int = 1

    @property
    def key(self) -> MutantKey:
        return MutantKey(
            module=self.module, function=self.function, kind=self.kind, was=self.was, now=self.now, nth=self.nth
        )


class MutantRecord(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`tests`: of modules whose tests stand elsewhere, or are more than the mirrored file."""

    tests: dict[str, tuple[str, ...]] = {}
    without_effect: tuple[JudgedMutant, ...] = ()

    @property
    def excused(self) -> frozenset[MutantKey]:
        return frozenset(judged.key for judged in self.without_effect)


def read(root: Path) -> MutantRecord:
    """The record of a repository; empty where it has none. Raises RecordError."""
    path = root / FILE
    try:
        record = msgspec.convert(tomllib.loads(path.read_text()) if path.exists() else {}, MutantRecord)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise RecordError(f"{FILE}: {error}") from error
    if wrong := stale(root, record):
        raise RecordError("\n".join(f"{FILE}: {each}" for each in wrong))
    return record


def stale(root: Path, record: MutantRecord) -> list[str]:
    """A sentence for each entry that matches nothing: no change of its module, or no file of tests."""
    modules = sorted({judged.module for judged in record.without_effect})
    possible = {mutant.key for name in modules for mutant in mutants(name, module_file(root, name).read_text())}
    wrong = [f"no change is possible any more that matches {key}" for key in sorted(record.excused - possible, key=str)]
    for name, paths in record.tests.items():
        module_file(root, name)
        wrong += [f"{name}: there are no tests {path}" for path in paths if not (root / path).exists()]
    return wrong


def module_file(root: Path, module: str) -> Path:
    """Where a module of one of the rooms stands. Raises RecordError."""
    place = module.replace(".", "/")
    match sorted([*root.glob(f"*/{place}.py"), *root.glob(f"*/{place}/__init__.py")]):
        case [path]:
            return path
        case paths:
            raise RecordError(f"{module} is {'no module' if not paths else f'ambiguous: {paths}'}")


def tests_of(root: Path, module: str, record: MutantRecord) -> tuple[str, ...]:
    """The tests that should see a module: those of the record, else the file or the folder that mirrors it.

    Raises RecordError where there are neither.
    """
    if module in record.tests:
        return record.tests[module]
    *rooms, name = module.split(".")
    folder = Path("tests", "unit", *rooms)
    for path in (folder / f"test_{name}.py", folder / name, *([folder] if len(rooms) > 1 else [])):
        if (root / path).exists():
            return (str(path),)
    raise RecordError(f"No test is known for {module}: there is no {folder}/test_{name}.py, and {FILE} names none.")
