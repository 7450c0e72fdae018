"""A tour in a page of the documentation, as a reader takes it: commands in ```console blocks, and what they say."""

from __future__ import annotations

import os
import re
import subprocess
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

MARK = "--- exit status:"
LAST = "kill %1"
"""With this command docs/install.md has shown everything: what follows removes what it has installed."""


def steps(page: Path) -> Iterator[tuple[str, str]]:
    """Each command of the tour, and the output that the page shows for it."""
    for block in re.findall(r"```console\n(.*?)```", page.read_text(), re.DOTALL):
        for command in block.split("$ ")[1:]:
            line, _, output = command.partition("\n")
            yield line, output


def pattern(shown: str) -> re.Pattern[str]:
    """`...` alone in a line stands for any lines, within a line for anything in it."""
    lines = [r"(?:.*\n)*?" if line == "..." else _literal(line) for line in shown.splitlines()]
    return re.compile("".join(lines) + r"\s*")


def _literal(line: str) -> str:
    return ".*".join(map(re.escape, line.split("..."))) + r"\s*\n?"


class Shell:
    """One bash, as the reader has it: what a command says, on both channels, until it ends."""

    def __init__(self, folder: Path, environment: Mapping[str, str] = os.environ) -> None:
        scripts = sysconfig.get_path("scripts")
        environment = {**environment, "PATH": f"{scripts}:{environment['PATH']}", "COLUMNS": "100"}
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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Ends it, and what it has left in the background."""
        assert self.process.stdin is not None
        self.process.stdin.write("kill $(jobs -p) 2>/dev/null; wait\n")
        self.process.communicate(timeout=30)

    def run(self, command: str) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{command}\nstatus=$?; echo; echo {MARK} $status\n")
        self.process.stdin.flush()
        said = ""
        for line in self.process.stdout:
            if line.startswith(MARK):
                self.status = int(line.removeprefix(MARK))
                return said
            said += line
        raise AssertionError(f"bash ended after {command!r}: {said}")


class Tour:
    """The commands of the page in one shell, each of which must say what the page shows."""

    def __init__(self, page: Path, shell: Shell) -> None:
        self.shell = shell
        self.steps = list(steps(page))
        self.turn = [command for command, _ in self.steps].index(LAST)

    def until_installed(self) -> None:
        self._walk(self.steps[: self.turn])

    def until_removed(self) -> None:
        self._walk(self.steps[self.turn :])

    def _walk(self, steps: list[tuple[str, str]]) -> None:
        for command, shown in steps:
            said = self.shell.run(command)
            assert self.shell.status == 0, f"$ {command}\n{said}"
            assert pattern(shown).fullmatch(said), f"$ {command}\n{said}\nbut the page shows\n{shown}"
