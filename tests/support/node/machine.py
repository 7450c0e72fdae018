"""What a node changes on this machine: in namespaces of its own, which go with it; the rest is put back."""

from __future__ import annotations

import contextlib
import errno
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

ADDRESS = "192.0.2.1"  # documentation's own (RFC 5737), so nobody's here
SETTINGS = Path("/proc/sys")
OF_KUBELET = (
    *("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops"),
    *("kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes"),
)
"""What a kubelet sets, and what no namespace has for itself."""
CGROUPS = Path("/sys/fs/cgroup")
CONTROLLERS = ("cpuset", "cpu", "io", "memory", "hugetlb", "pids")
"""What a kubelet wants to find in its cgroup, of those that there are."""
FOLDERS = tuple(map(Path, ("/run", "/var/log", "/var/lib/kubelet", "/var/lib/cni", "/var/lib/containers")))
"""Where kubelet, containerd and buildah write, whatever they are told: here they have their own, in memory."""
REMOVE_TIMEOUT = 10.0
ALONE = ("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc")
"""Interfaces, rules of netfilter, mounts and processes are gone when the command behind it ends, or is killed."""


@contextlib.contextmanager
def restored(cgroup: str) -> Iterator[None]:
    """Afterwards the kernel's settings and the folders are as before, and this cgroup is gone, with all below it."""
    paths = [SETTINGS / name for name in OF_KUBELET]
    settings = {path: path.read_text() for path in paths if path.exists()}
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


def unable() -> str:
    """Why this machine, or the container that it is, cannot have a node. Empty: nothing is in the way."""
    alone = subprocess.run(
        [*ALONE, "mount", "-t", "tmpfs", "tmpfs", "/run"], check=False, capture_output=True, text=True
    )
    if alone.returncode != 0:
        return f"no namespaces of its own ({alone.stderr.strip()})"
    if not (roots := _hierarchies()):
        return f"no cgroups in {CGROUPS}"
    try:
        for root in roots:
            (root / "sagamesh-probe").mkdir(exist_ok=True)
            _remove(root / "sagamesh-probe")
    except OSError as error:
        return f"no cgroups of its own ({error})"
    return ""


def overlay(debian: Path) -> None:
    """Its packages appear installed, and folders are empty, to this mount namespace alone."""
    run("mount", "-t", "overlay", "overlay", "-o", f"lowerdir={debian / 'usr'}:/usr", "/usr")
    for folder in FOLDERS:
        if folder.exists():
            run("mount", "-t", "tmpfs", "tmpfs", folder)


def furnish(debian: Path) -> None:
    """Makes these namespaces a machine: packages, and one address."""
    overlay(debian)
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
    deadline = time.monotonic() + REMOVE_TIMEOUT
    for each in sorted((path for path in (folder, *folder.rglob("*")) if path.is_dir()), reverse=True):
        while True:
            try:
                each.rmdir()
                break
            except OSError as error:  # a process in it is just ending
                if error.errno != errno.EBUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
