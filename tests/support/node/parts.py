"""What a node is made of: programs from Debian and Go's module proxy, fetched or built once, into the user's cache."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from support.node import machine
from support.servers import debian, programs

TOOLS = Path(__file__).parents[2] / "node" / "tools"
PACKAGES = (
    *("containerd", "runc", "containernetworking-plugins", "iptables", "conntrack", "busybox-static"),
    *("buildah", "golang-github-containers-common", "golang-github-containers-image", "uidmap", "debootstrap"),
    *("libip6tc2", "libnfnetlink0", "libnetfilter-conntrack3", "libnftnl11", "libgpgme11", "libsubid4"),
)
"""The programs, and what of their dependencies a small Debian lacks."""
SUITE = "bookworm"
RELEASE = Path("/etc/os-release")
BASE = ("python3", "python3-pip", "python3-venv", "ca-certificates")
TRUST = Path("etc/ssl/certs/ca-certificates.crt")
NEEDED = ("unshare", "mount", "ip")


class NoNode(Exception):  # noqa: N818 - not an error unless REQUIRE_NODE is set
    """No node can be had here, and why. Its tests are skipped."""


@dataclass(frozen=True)
class Parts:
    """Folders: `debian` is laid out as a root, `kubernetes` and `tools` hold programs; `base` is a root as a tar."""

    debian: Path
    kubernetes: Path
    tools: Path
    base: Path


def find() -> Parts:
    """Fetches and builds what is not here yet: ten minutes, once. Raises NoNode, and programs.WrongSource."""
    if os.geteuid() != 0:
        raise NoNode("only root can run a kubelet")
    if missing := [name for name in NEEDED if not shutil.which(name)]:
        raise NoNode(f"no {' and no '.join(missing)}")
    if f"VERSION_CODENAME={SUITE}" not in _text(RELEASE):
        raise NoNode(f"the packages are those of Debian {SUITE}, and this is another system")
    if said := machine.unable():
        raise NoNode(said)
    try:
        unpacked = _unpacked()
        tools = programs.built(TOOLS, "tools", "helm and CoreDNS", _build_tools)
        kubernetes = programs.built(programs.MODULE, "controlplane", "etcd and Kubernetes", programs.build)
        return Parts(unpacked, kubernetes, tools, _base(unpacked))
    except debian.NoPackage as error:
        raise NoNode(str(error)) from None
    except programs.NoBuild as error:
        raise NoNode(f"{error} to build Kubernetes, helm and CoreDNS") from None


def versions(parts: Parts) -> dict[str, str]:
    """By the name of the program, as `1.2.3`."""
    sums = (TOOLS / "go.mod").read_text()
    found = {
        "Kubernetes": programs.kubernetes_version(),
        "helm": _only(r"helm.sh/helm/v4 (v\S+)", sums),
        "CoreDNS": _only(r"github.com/coredns/coredns (v\S+)", sums),
        "containerd": _says(parts.debian / "usr/bin/containerd"),
        "runc": _says(parts.debian / "usr/sbin/runc"),
        "Linux": _only(r"^(\d+\.\d+)", os.uname().release),
    }
    return {name: version.removeprefix("v") for name, version in found.items()}


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _only(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    return found[1] if found else "?"


def _says(program: Path) -> str:
    said = subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout
    return _only(r"\b(\d+\.\d+\.\d+)", said)


def _unpacked() -> Path:
    folder = debian.unpacked(programs.cache(os.environ) / "debian" / f"node-{_digest(*PACKAGES)}", *PACKAGES)
    for name in ("iptables", "ip6tables"):  # as the package would set its alternatives
        for kind in ("", "-save", "-restore"):
            link = folder / "usr" / "sbin" / f"{name}{kind}"
            if not link.is_symlink():
                link.symlink_to("xtables-nft-multi")
    return folder


def _digest(*words: str) -> str:
    """The name of what is made of these: another one where they change."""
    return hashlib.sha256(" ".join(words).encode()).hexdigest()[:8]


def _build_tools(place: Path) -> None:
    programs.compile_into(place, TOOLS, "-s -w", "helm.sh/helm/v4/cmd/helm", "github.com/coredns/coredns")


def _base(unpacked: Path) -> Path:
    """A small Debian with its own Python and this machine's trust, in place of the image `python:...-slim`."""
    base = programs.cache(os.environ) / "debian" / f"{SUITE}-{_digest(*BASE)}.tar"
    if base.exists():
        return base
    with tempfile.TemporaryDirectory(prefix="making-", dir=base.parent) as scratch:
        root, tar = Path(scratch) / "root", Path(scratch) / base.name
        script = unpacked / "usr" / "sbin" / "debootstrap"
        environment = {**os.environ, "DEBOOTSTRAP_DIR": str(unpacked / "usr" / "share" / "debootstrap")}
        include = f"--include={','.join(BASE)}"
        ended = subprocess.run(
            ["sh", script, "--variant=minbase", include, SUITE, root],
            check=False,
            env=environment,
            capture_output=True,
            text=True,
        )
        if ended.returncode != 0:
            raise NoNode(f"debootstrap made no {SUITE}: {ended.stdout[-500:]}")
        (root / TRUST).write_text(_text(Path("/") / TRUST) or (root / TRUST).read_text())
        (root / "usr" / "local" / "bin" / "python").symlink_to("../../bin/python3")
        debian.run("tar", "--create", f"--file={tar}", f"--directory={root}", ".", cwd=scratch)
        tar.rename(base)
    return base
