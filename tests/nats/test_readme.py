"""The tour of the README is what it says, line by line."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MARK = "--- exit status:"
PORTS = ("9001", "9002", "3650")


def steps() -> Iterator[tuple[str, str]]:
    """Each command of the tour, and the output that the README shows for it."""
    for block in re.findall(r"```console\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL):
        for command in block.split("$ ")[1:]:
            line, _, output = command.partition("\n")
            yield line, output


def pattern(shown: str) -> re.Pattern[str]:
    """`...` alone in a line stands for any lines, within a line for anything in it."""
    lines = [r"(?:.*\n)*?" if line == "..." else _literal(line) for line in shown.splitlines()]
    return re.compile("".join(lines) + r"\s*")


def _literal(line: str) -> str:
    return ".*".join(map(re.escape, line.split("..."))) + r"\s*\n?"


def free_ports(count: int) -> list[str]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    numbers = [str(one.getsockname()[1]) for one in held]
    for one in held:
        one.close()
    return numbers


class Shell:
    """One bash, as the reader has it: what a command says, on both channels, until it ends."""

    def __init__(self, folder: Path) -> None:
        scripts = sysconfig.get_path("scripts")
        environment = {**os.environ, "PATH": f"{scripts}:{os.environ['PATH']}", "COLUMNS": "100"}
        self.process = subprocess.Popen(
            ["bash", "--norc"],
            cwd=folder,
            env=environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def run(self, command: str) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{command}\necho; echo {MARK}\n")
        self.process.stdin.flush()
        said = ""
        for line in self.process.stdout:
            if line.startswith(MARK):
                return said
            said += line
        raise AssertionError(f"bash ended after {command!r}: {said}")


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    shell = Shell(tmp_path)
    yield shell
    assert shell.process.stdin is not None
    shell.process.stdin.write("kill $(jobs -p) 2>/dev/null; wait\n")
    shell.process.communicate(timeout=30)


def test_the_tour_works_line_by_line_and_once_more(shell: Shell) -> None:
    ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    shell.run(f"export SAGAMESH_URL=http://127.0.0.1:{ports['3650']}")
    tour = list(steps())
    assert len(tour) > 10
    assert tour[0][0].startswith("make ")  # the environment that this test runs in already
    for command, shown in tour[1:] * 2:
        said = shell.run(re.sub("|".join(PORTS), lambda port: ports[port[0]], command))
        lines = [line for line in said.splitlines(keepends=True) if not line.startswith("listening on")]
        assert pattern(shown).fullmatch("".join(lines)), f"$ {command}\n{said}\nbut the README shows\n{shown}"
