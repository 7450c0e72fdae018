"""What a node changes on this machine: in namespaces of its own, which go with it; the rest is put back."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

ADDRESS = "192.0.2.1"  # documentation's own (RFC 5737), so nobody's here
SETTINGS = Path("/proc/sys")
OF_KUBELET = ("vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops")
"""What a kubelet sets, and what no namespace has for itself."""
CGROUPS = Path("/sys/fs/cgroup")
CONTROLLERS = ("cpuset", "cpu", "io", "memory", "hugetlb", "pids")
"""What a kubelet wants to find in its cgroup, of those that there are."""
FOLDERS = tuple(map(Path, ("/run", "/var/log", "/var/lib/kubelet", "/var/lib/cni")))
"""Where kubelet and containerd write, whatever they are told: a node has its own, in memory."""
ALONE = ("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc")
"""Interfaces, rules of netfilter, mounts and processes are gone when the command behind it ends, or is killed."""


@contextlib.contextmanager
def restored(cgroup: str) -> Iterator[None]:
    """Afterwards the kernel's settings and the folders are as before, and this cgroup is gone, with all below it."""
    settings = {SETTINGS / name: (SETTINGS / name).read_text() for name in OF_KUBELET}
    handed_down = _hand_down()
    made = [folder for folder in (*(root / cgroup for root in _hierarchies()), *FOLDERS) if not folder.exists()]
    for folder in made:
        folder.mkdir(parents=True)
    try:
        yield
    finally:
        for path, value in settings.items():
            path.write_text(value)
        for folder in made:
            _remove(folder)
        for controller in handed_down:
            (CGROUPS / "cgroup.subtree_control").write_text(f"-{controller}")


def overlay(debian: Path) -> None:
    """Its packages appear installed, to this mount namespace alone."""
    run("mount", "-t", "overlay", "overlay", "-o", f"lowerdir={debian / 'usr'}:/usr", "/usr")


def furnish(debian: Path) -> None:
    """Makes these namespaces a machine: packages, folders that a kubelet names for itself, one address."""
    overlay(debian)
    for folder in FOLDERS:
        run("mount", "-t", "tmpfs", "tmpfs", folder)
    for command in (
        "link set lo up",
        "link add node0 type veth peer name node1",
        f"address add {ADDRESS}/24 dev node0",
        "link set node0 up",
        "link set node1 up",
        "route add default dev node0",  # a Service's address must have a route before netfilter changes it
    ):
        run("ip", *command.split())
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")


def run(*command: object) -> None:
    subprocess.run([str(word) for word in command], check=True)


def _hand_down() -> list[str]:
    """In version 2 of cgroups a child has what its parent hands down: the controllers that it had not, but has now."""
    control = CGROUPS / "cgroup.subtree_control"
    if not control.exists():
        return []
    there, before = (CGROUPS / "cgroup.controllers").read_text().split(), control.read_text().split()
    more = [name for name in CONTROLLERS if name in there and name not in before]
    for name in more:
        control.write_text(f"+{name}")
    return more


def _hierarchies() -> list[Path]:
    """The roots of all: one in version 2 of cgroups, one for each controller in version 1."""
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS]
    return [path for path in CGROUPS.iterdir() if (path / "cgroup.procs").exists() and not path.is_symlink()]


def _remove(folder: Path) -> None:
    """A cgroup's files go with it; those of another folder would be somebody's, and stop this."""
    for each in sorted((path for path in (folder, *folder.rglob("*")) if path.is_dir()), reverse=True):
        each.rmdir()
