"""The runner on a repository of one package: what is caught, what survives, what is excused, and what is wrong."""

from __future__ import annotations

import py_compile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sagamesh_tools.mutation import record, trial
from sagamesh_tools.mutation.__main__ import draw, main, name
from sagamesh_tools.mutation.changes import mutants

ROOT = Path(__file__).parents[4]

MODULE = """
import sys
from pathlib import Path


def grown(age, limit=18):
    return age >= limit


def label(age):
    return "adult" if grown(age) else "child"


def told():
    return Path(__file__).parents[2].joinpath("page.txt").read_text()


def wait(steps):
    while steps > 0:
        steps = max(steps - 1, 0)


def shout():
    print("never")


def main(words):
    return grown(int(words[1]))


if __name__ == "__main__":
    sys.exit(main(sys.argv))
"""
TESTS = """
import signal
import subprocess
import sys

from tiny import people

signal.alarm(60)  # a change that hangs ends, even if the runner fails to end it


def test_label():
    assert people.label(30) == "adult"
    assert people.label(3) == "child"


def test_grown_in_a_process_of_its_own():
    for age in (17, 19):
        ended = subprocess.run([sys.executable, "-m", "tiny.people", str(age)])
        assert ended.returncode == (age > 17)


def test_told():
    assert people.told() == "a page"


def test_wait():
    people.wait(3)
"""
ONE = "def one():\n    return 1\n"
TEST_OF_ONE = """
from tiny import one


def test_one():
    assert one.one() in (1, 2)
"""
EXCUSED = """
[[without_effect]]
module = "tiny.one"
function = "one"
kind = "constant"
was = "return 1"
now = "return 2"
reason = "Its test takes both."
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A repository: a package in a room, a page that its code finds, tests that an installation stands before."""
    room = tmp_path / "room"
    (room / "tiny").mkdir(parents=True)
    (room / "tiny" / "__init__.py").touch()
    (room / "tiny" / "people.py").write_text(MODULE)
    (room / "tiny" / "one.py").write_text(ONE)
    (tmp_path / "page.txt").write_text("a page")
    tests = tmp_path / "tests" / "unit" / "tiny"
    tests.mkdir(parents=True)
    (tests / "test_people.py").write_text(TESTS)
    (tests / "test_one.py").write_text(TEST_OF_ONE)
    (tmp_path / "pyproject.toml").write_text(
        '[tool.pytest.ini_options]\naddopts = "--import-mode=importlib --disable-plugin-autoload"\n'
    )
    monkeypatch.setenv("PYTHONPATH", str(room))  # stands for an editable install: later than the copy
    yield tmp_path
    assert (room / "tiny" / "people.py").read_text() == MODULE
    assert (room / "tiny" / "one.py").read_text() == ONE
    assert not list(room.rglob("*.pyc")), "nothing is imported from the working tree"


def tried(root: Path, *lines: str) -> int:
    """The exit status for the changes after which the module has these lines."""
    every = mutants("tiny.people", (root / "room" / "tiny" / "people.py").read_text())
    chosen = [name(each.key) for each in every if each.key.now in lines]
    assert len(chosen) == len(lines)
    return main(["tiny.people", "--only", *chosen], root)


def recorded(root: Path, text: str) -> None:
    (root / "tests" / "mutants.toml").write_text(text)


def test_what_a_test_sees_is_caught_in_whichever_process_it_runs(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = [
        "return age < limit",
        "return grown(int(words[2]))",
        'return Path(__file__).parents[3].joinpath("page.txt").read_text()',
    ]
    assert tried(root, *seen) == 0
    assert capsys.readouterr().out.splitlines()[1:] == ["3 caught"]


def test_what_no_test_sees_is_printed_with_its_key(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tried(root, "return age > limit", 'print("")') == 1
    *_, first, was, now, second, text, empty, summary = capsys.readouterr().out.splitlines()
    assert " survived: room/tiny/people.py:7, grown, comparison" in first
    assert (was, now) == ("  - return age >= limit", "  + return age > limit")
    assert " survived, not run by any test: room/tiny/people.py:24, shout, constant" in second
    assert (text, empty) == ('  - print("never")', '  + print("")')
    assert summary == "1 survived, 1 survived, not run by any test"


def test_what_hangs_is_caught(root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "LEAST_SECONDS", 2)
    monkeypatch.setattr(trial, "PATIENCE", 1)
    assert tried(root, "while steps >= 0:") == 0
    assert "1 hung, and so caught" in capsys.readouterr().out


def test_a_survivor_fails_the_run_until_a_reason_excuses_it(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tiny.one", "--count", "0"], root) == 1
    assert "1 survived" in capsys.readouterr().out
    recorded(root, EXCUSED)
    assert main(["tiny.one", "--seed", "5"], root) == 0
    assert capsys.readouterr().out.splitlines() == [
        "1 of 1 changes of tiny.one, seed 5; 1 are known to be without effect",
        "1 caught",
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (EXCUSED.replace("return 2", "return 3"), "no change is possible any more that matches"),
        (EXCUSED.replace("tiny.one", "tiny.none"), "tiny.none is no module"),
        (EXCUSED.replace("Its test takes both.", " "), "reason"),
        (EXCUSED.replace("reason", "nth = 2\nreason"), "no change is possible any more that matches"),
        (EXCUSED.replace("reason", "because"), "because"),
        ('[tests]\n"tiny.one" = ["tests/unit/gone.py"]', "tiny.one: there are no tests tests/unit/gone.py"),
        ('[tests]\n"tiny.none" = []', "tiny.none is no module"),
        ("[tests", "tests/mutants.toml"),
    ],
)
def test_an_entry_without_use_or_reason_is_an_error(
    root: Path, text: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded(root, text)
    assert main(["tiny.people"], root) == 1
    said = capsys.readouterr()
    assert sentence in said.err
    assert not said.out, "nothing was tried"


def test_what_was_compiled_of_the_module_does_not_hide_a_change(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = root / "room" / "tiny" / "people.py"
    trusted = py_compile.PycInvalidationMode.UNCHECKED_HASH  # as one of the same second and size would be
    compiled = py_compile.compile(str(file), invalidation_mode=trusted)
    assert tried(root, "return age < limit") == 0
    assert "1 caught" in capsys.readouterr().out
    Path(compiled).unlink()


def test_an_entry_for_the_module_itself_names_no_function(root: Path) -> None:
    (root / "room" / "tiny" / "one.py").write_text(f"N = 1\n{ONE}")
    entry = EXCUSED.replace('function = "one"\n', "").replace("return", "N =")
    recorded(root, entry)
    assert [key.function for key in record.read(root).excused] == [""]
    (root / "room" / "tiny" / "one.py").write_text(ONE)
    recorded(root, entry + entry.replace("N = 2", "N = 3"))
    with pytest.raises(record.RecordError) as told:
        record.read(root)
    assert [line.partition(":")[0] for line in str(told.value).splitlines()] == ["tests/mutants.toml"] * 2


def test_a_run_has_hung_after_ten_seconds_at_least() -> None:
    assert [trial.patience_s(trial.UnchangedRun(duration_s=each, lines=frozenset())) for each in (1, 100)] == [10, 400]


def test_tests_that_fail_by_themselves_or_see_nothing_prove_nothing(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded(root, '[tests]\n"tiny.one" = ["tests/unit/tiny/test_people.py"]')
    assert main(["tiny.one"], root) == 1
    assert "no test runs a line of room/tiny/one.py" in capsys.readouterr().err
    (root / "page.txt").write_text("another page")
    assert main(["tiny.people"], root) == 1
    said = capsys.readouterr().err
    assert "The tests fail before anything is changed." in said
    assert "test_told" in said


def test_a_name_that_no_change_has_is_an_error(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tiny.people", "--only", "00000000"], root) == 1
    assert "No change has the name 00000000" in capsys.readouterr().err


def test_the_tests_of_a_module_are_those_that_mirror_it(tmp_path: Path) -> None:
    def found() -> str:
        return str(record.tests_of(tmp_path, "a.b.c", record.MutantRecord()))

    (tmp_path / "tests" / "unit" / "a").mkdir(parents=True)
    with pytest.raises(record.RecordError, match=r"No test is known for a\.b\.c"):
        found()
    (tmp_path / "tests" / "unit" / "a" / "b").mkdir()
    assert found() == "('tests/unit/a/b',)"
    (tmp_path / "tests" / "unit" / "a" / "b" / "test_c.py").touch()
    assert found() == "('tests/unit/a/b/test_c.py',)"
    with pytest.raises(record.RecordError):
        record.tests_of(tmp_path, "a.z", record.MutantRecord())  # not all that there is
    of_record = record.MutantRecord(tests={"a.b.c": ("tests/x.py", "tests/y.py")})
    assert record.tests_of(tmp_path, "a.b.c", of_record) == ("tests/x.py", "tests/y.py")


def test_a_seed_draws_the_same_whatever_else_is_excused() -> None:
    every = mutants("m", "\n".join(f"x{i} = {i}" for i in range(50)))
    drawn = draw(every, 7, 10)
    assert len({each.key for each in drawn}) == 10
    assert draw(every[::-1], 7, 10) == drawn
    assert draw([each for each in every if each != drawn[3]], 7, 9) == drawn[:3] + drawn[4:]
    assert draw(every, 8, 10) != drawn
    assert len(draw(every, 7, 0)) == len(every)


def test_our_own_record_excuses_only_what_is_possible() -> None:
    assert record.read(ROOT).without_effect
