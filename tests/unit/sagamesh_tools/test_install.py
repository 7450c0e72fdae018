"""`make install` says each step while it is done, needs nothing but Python, and fails where a step does."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from sagamesh_tools import install

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "tools" / "sagamesh_tools" / "install.py"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("  Downloading msgspec-0.22.0-cp311-cp311-manylinux.whl (225 kB)\n", "  msgspec 0.22.0 (225 kB)"),
        ("  Using cached nats_py-2.16.0-py3-none-any.whl (93 kB)\n", "  nats_py 2.16.0 (93 kB)"),
        ("  Downloading nkeys-0.2.1.tar.gz (9 kB)\n", "  nkeys 0.2.1 (9 kB)"),
        ("  Downloading https://pypi.org/a/rich-15.0.0-py3-none-any.whl (310 kB)\n", ""),
        ("  Downloading rich-15.0.0-py3-none-any.whl.metadata (18 kB)\n", ""),
        ("Collecting rich>=14 (from sagamesh==0.1.0)\n", ""),
        ("Installing collected packages: rich, typer, sagamesh\n", "3 packages are unpacked: half a minute"),
        ("Installing collected packages: sagamesh\n", "sagamesh is unpacked"),
        ("Successfully installed rich-15.0.0\n", ""),
    ],
)
def test_of_what_pip_says_people_are_told_what_takes_time(line: str, told: str) -> None:
    assert install.told_of(line) == told


PIP = """
import sys
print("  Downloading rich-15.0.0-py3-none-any.whl (310 kB)", flush=True)
print("no room left", file=sys.stderr)
sys.exit(int(sys.argv[1]))
"""


@pytest.mark.parametrize("status", [0, 3])
def test_its_lines_are_said_and_its_exit_status_is_ours(status: int, capfd: pytest.CaptureFixture[str]) -> None:
    assert install.follow([sys.executable, "-c", PIP, str(status)]) == status
    assert tuple(capfd.readouterr()) == ("  rich 15.0.0 (310 kB)\n", "no room left\n")


def test_an_environment_that_cannot_be_made_ends_it(tmp_path: Path) -> None:
    """By a Python that has nothing of ours: it is run before anything is there."""
    there = tmp_path / "file"
    there.touch()
    ended = subprocess.run(
        [sys.executable, "-I", "-S", SCRIPT, there / "venv", "constraints.txt", "."],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode != 0
    assert re.fullmatch(rf"a virtual environment in {there}/venv, of Python 3\S+\n", ended.stdout)


def test_an_environment_that_is_there_stays_what_it_is(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bin").mkdir()
    for name in ("python", "pip"):
        (tmp_path / "bin" / name).write_text('#!/bin/sh\necho "$*" >&2\nexit 4\n')
        (tmp_path / "bin" / name).chmod(0o755)
    assert install.main([str(tmp_path), "constraints.txt", ".[cli]"]) == 4
    said, asked = capfd.readouterr()
    assert said == "the packages of .[cli], at the versions of constraints.txt: a minute or two\n"
    assert asked.endswith("install --progress-bar off --constraint constraints.txt --editable .[cli]\n")


def test_a_python_that_is_too_old_is_told_which_one_it_takes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(install.sys, "version_info", (3, 10, 9))
    assert install.main(["venv", "constraints.txt", "."]) == 1
    assert capsys.readouterr().err == "Sagamesh needs Python 3.11 or newer; set PYTHON=python3.11\n"
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert needed == ">=" + ".".join(map(str, install.LEAST))


@pytest.mark.parametrize("target", ["install", "demo", "test"])
def test_on_a_fresh_machine_every_target_installs_first(target: str, tmp_path: Path) -> None:
    command = ["make", "--dry-run", "--directory", ROOT, target, f"VENV={tmp_path}", "PYTHON=python3.11"]
    steps = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    script = SCRIPT.relative_to(ROOT)
    assert f"python3.11 {script} {tmp_path} constraints.txt '.[cli,operator,dev]'" in steps[:2]
