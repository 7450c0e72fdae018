"""The tour of the README is what it says, line by line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.processes.tour import Shell, pattern, steps
from support.servers.ports import free_ports

ROOT = Path(__file__).parents[2]
PORTS = ("9001", "9002", "3650")


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    with Shell(tmp_path) as shell:
        yield shell


def test_the_tour_works_line_by_line_and_once_more(shell: Shell) -> None:
    ports = dict(zip(PORTS, map(str, free_ports(len(PORTS))), strict=True))
    shell.run(f"export SAGAMESH_URL=http://127.0.0.1:{ports['3650']}")
    tour = list(steps(ROOT / "README.md"))
    assert len(tour) > 10
    assert tour[0][0].startswith("make ")  # the environment that this test runs in already
    for command, shown in tour[1:] * 2:
        said = shell.run(re.sub("|".join(PORTS), lambda port: ports[port[0]], command))
        lines = [line for line in said.splitlines(keepends=True) if not line.startswith("listening on")]
        assert pattern(shown).fullmatch("".join(lines)), f"$ {command}\n{said}\nbut the README shows\n{shown}"
