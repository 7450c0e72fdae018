"""A tour in a page of the documentation, as a reader takes it: commands in ```console blocks, and what they say."""

from __future__ import annotations

import os
import re
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path

MARK = "--- exit status:"


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
