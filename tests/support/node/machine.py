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
ALONE = ("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc")
"""Interfaces, rules of netfilter, mounts and processes are gone when the command behind it ends, or is killed."""


@contextlib.contextmanager
def restored(cgroup: str) -> Iterator[None]:
    """Afterwards the kernel's settings are as before, and this cgroup is gone, with all below it."""
    paths = [SETTINGS / name for name in OF_KUBELET]
    before = [path.read_text() for path in paths]
    for controller in _controllers():
        (controller / cgroup).mkdir(exist_ok=True)
    try:
        yield
    finally:
        for path, value in zip(paths, before, strict=True):
            path.write_text(value)
        for controller in _controllers():
            for folder in _bottom_up(controller / cgroup):
                folder.rmdir()


def overlay(debian: Path) -> None:
    """Its packages appear installed, to this mount namespace alone."""
    run("mount", "-t", "overlay", "overlay", "-o", f"lowerdir={debian / 'usr'}:/usr", "/usr")


def furnish(debian: Path) -> None:
    """Makes these namespaces a machine: packages, folders that a kubelet names for itself, one address."""
    overlay(debian)
    for folder in ("/run", "/var/log", "/var/lib/kubelet", "/var/lib/cni"):
        Path(folder).mkdir(parents=True, exist_ok=True)
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


def _controllers() -> list[Path]:
    """The roots of all hierarchies: one in version 2 of cgroups, one for each controller in version 1."""
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS]
    return [path for path in CGROUPS.iterdir() if (path / "cgroup.procs").exists() and not path.is_symlink()]


def _bottom_up(folder: Path) -> list[Path]:
    return sorted((path for path in (folder, *folder.rglob("*")) if path.is_dir()), reverse=True)
