"""Where a node can be had, and what is left of it on the machine."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

from support import programs
from support.node import machine, parts
from support.node.__main__ import main


def refused(monkeypatch: pytest.MonkeyPatch, error: Exception, **environment: str) -> int:
    def find() -> parts.Parts:
        raise error

    monkeypatch.setattr(parts, "find", find)
    monkeypatch.setenv("REQUIRE_NODE", "")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return main([])


def test_without_root_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(parts.NoNode, match="only root can run a kubelet"):
        parts.find()


def test_where_there_is_none_the_reason_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refused(monkeypatch, parts.NoNode("no Go to build it")) == 0
    assert capsys.readouterr().err == "no node: no Go to build it\n"
    assert refused(monkeypatch, parts.NoNode("no Go to build it"), REQUIRE_NODE="1") == 1
    assert refused(monkeypatch, programs.WrongSource("it does not build")) == 1, "somebody broke it"


@pytest.mark.parametrize("hierarchies", [("memory", "pids"), ()])
def test_what_a_kubelet_changes_is_put_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, hierarchies: tuple[str, ...]
) -> None:
    """Cgroups of version 1 have a folder for each controller, those of version 2 have one."""
    monkeypatch.setattr(machine, "CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(machine, "SETTINGS", tmp_path / "sys")
    for name in machine.OF_KUBELET:
        (tmp_path / "sys" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "sys" / name).write_text("0\n")
    roots = [tmp_path / "cgroup" / hierarchy for hierarchy in hierarchies or ("",)]
    for root in roots:
        root.mkdir(parents=True)
        (root / "cgroup.procs").touch()
        (root / ("cgroup.controllers" if not hierarchies else "tasks")).touch()
    with contextlib.suppress(KeyboardInterrupt), machine.restored("node"):
        for root in roots:
            (root / "node" / "kubepods" / "pod1").mkdir(parents=True)
        for name in machine.OF_KUBELET:
            (tmp_path / "sys" / name).write_text("1\n")
        raise KeyboardInterrupt
    assert not any((root / "node").exists() for root in roots)
    assert {(tmp_path / "sys" / name).read_text() for name in machine.OF_KUBELET} == {"0\n"}
