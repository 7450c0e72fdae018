"""Debian's packages, unpacked into a folder and installed nowhere."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from pathlib import Path

FETCH_TIMEOUT = 300.0


class NoPackage(Exception):  # noqa: N818 - whether that is an error is for its receiver to say
    """It cannot be had here, and why."""


def unpacked(folder: Path, *packages: str) -> Path:
    """The folder with what these packages hold, and not what they depend on; fetched once. Raises NoPackage."""
    if folder.is_dir():
        return folder
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        raise NoPackage(f"no Debian to fetch {' and '.join(packages)} from")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fetching-", dir=folder.parent) as scratch:
        _download(Path(scratch), packages)
        for package in Path(scratch).glob("*.deb"):
            run("dpkg", "-x", str(package), "unpacked", cwd=scratch)
        with contextlib.suppress(OSError):  # somebody else was faster
            (Path(scratch) / "unpacked").rename(folder)
    return folder


def _download(scratch: Path, packages: tuple[str, ...]) -> None:
    """By the lists of packages that are here; where they lack it or are too old, by new ones of our own."""
    try:
        run("apt-get", "download", *packages, cwd=scratch)
    except NoPackage:
        (scratch / "lists" / "partial").mkdir(parents=True)
        own = ("-o", f"Dir::State::lists={scratch / 'lists'}", "-o", "APT::Sandbox::User=")
        run("apt-get", *own, "update", cwd=scratch)
        run("apt-get", *own, "download", *packages, cwd=scratch)


def run(*command: str, cwd: str | Path) -> None:
    try:
        ended = subprocess.run(command, check=False, cwd=cwd, capture_output=True, text=True, timeout=FETCH_TIMEOUT)
    except subprocess.TimeoutExpired:
        raise NoPackage(f"{' '.join(command)} takes longer than {FETCH_TIMEOUT:g} s") from None
    if ended.returncode != 0:
        raise NoPackage(f"{' '.join(command)}: {ended.stderr.strip()}")
