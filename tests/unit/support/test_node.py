"""Where a node can be had, and what is left of it on the machine."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

from support.node import machine, parts
from support.node.__main__ import main
from support.servers import programs


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


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Folders that stand for a machine, and for what it shows of its kernel."""
    monkeypatch.setattr(machine, "SETTINGS", tmp_path / "sys")
    monkeypatch.setattr(machine, "CGROUPS", tmp_path / "cgroup")
    for name in machine.OF_KUBELET:
        (tmp_path / "sys" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "sys" / name).write_text("0\n")
    monkeypatch.setattr(machine, "FOLDERS", (tmp_path / "run", tmp_path / "var" / "kubelet"))
    for name in ("cgroup", "run", "var"):
        (tmp_path / name).mkdir()
    return tmp_path


def interrupted(kernel: Path, *hierarchies: Path) -> None:
    """A run that leaves everything behind."""
    with contextlib.suppress(KeyboardInterrupt), machine.restored("node"):
        for hierarchy in hierarchies:
            (hierarchy / "node" / "kubepods" / "pod1").mkdir(parents=True)
        for name in machine.OF_KUBELET:
            (kernel / "sys" / name).write_text("1\n")
        raise KeyboardInterrupt
    assert (kernel / "run").is_dir(), "it was there before"
    assert not (kernel / "var" / "kubelet").exists()
    assert not any((hierarchy / "node").exists() for hierarchy in hierarchies)
    assert {(kernel / "sys" / name).read_text() for name in machine.OF_KUBELET} == {"0\n"}


def test_what_a_kubelet_changes_is_put_back_with_a_hierarchy_for_each_controller(kernel: Path) -> None:
    hierarchies = [kernel / "cgroup" / name for name in ("memory", "pids")]
    for hierarchy in hierarchies:
        hierarchy.mkdir()
        (hierarchy / "cgroup.procs").touch()
    interrupted(kernel, *hierarchies)


def test_what_a_kubelet_changes_is_put_back_with_one_hierarchy(kernel: Path) -> None:
    control = kernel / "cgroup" / "cgroup.subtree_control"
    (kernel / "cgroup" / "cgroup.controllers").write_text("cpu memory rdma\n")
    control.write_text("memory\n")
    interrupted(kernel, kernel / "cgroup")
    assert control.read_text() == "-cpu", "the last that was written: it was not handed down before"
