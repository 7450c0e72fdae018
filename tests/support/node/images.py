"""The images of a node without a registry: those of this commit, built from images/Dockerfile, and three stand-ins.

    python -m support.node.images FOLDER      # in a mount namespace of its own: it lays Debian's packages over /usr

Stand-ins are Debian with its own Python for the `python:...-slim` that the Dockerfile starts from, the nats-server of
the tests for NATS's own image, and busybox for the pause of a pod.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import yaml

from sagamesh_cli.local.nats_server import find_binary
from support.node import machine, parts

ROOT = Path(__file__).parents[3]
REGISTRY = "ghcr.io/sagamesh"
PAUSE = "localhost/pause:1"
POLICY = {"default": [{"type": "insecureAcceptAnything"}]}  # of what is here: nothing is fetched


def tag() -> str:
    """What the chart and the manifests ask for: the version of the chart's app."""
    return str(yaml.safe_load((ROOT / "charts" / "sagamesh" / "Chart.yaml").read_text())["appVersion"])


def nats() -> str:
    """The image that manifests/nats.yaml asks for."""
    [image] = set(re.findall(r"image: (\S+)", (ROOT / "manifests" / "nats.yaml").read_text()))
    return f"docker.io/library/{image}"


def python() -> str:
    """The image that the Dockerfile starts from."""
    found = re.search(r"^ARG PYTHON=(\S+)", (ROOT / "images" / "Dockerfile").read_text(), re.MULTILINE)
    assert found, "images/Dockerfile names no PYTHON"
    return f"docker.io/library/python:{found[1]}"


@dataclass(frozen=True)
class Builder:
    """buildah with a store of its own in `folder`."""

    folder: Path

    def __post_init__(self) -> None:
        store = {"driver": "overlay", "graphroot": str(self.folder / "store"), "runroot": str(self.folder / "run")}
        lines = ["[storage]", *(f"{key} = {json.dumps(value)}" for key, value in store.items())]
        (self.folder / "storage.conf").write_text("\n".join(lines))
        (self.folder / "registries.conf").write_text('unqualified-search-registries = ["docker.io"]')
        policy = self.folder / "home" / ".config" / "containers" / "policy.json"
        policy.parent.mkdir(parents=True)
        policy.write_text(json.dumps(POLICY))

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "HOME": str(self.folder / "home"),
            "TMPDIR": str(self.folder),
            "BUILDER": "buildah",
            "BUILDAH_ISOLATION": "chroot",
            "CONTAINERS_STORAGE_CONF": str(self.folder / "storage.conf"),
            "CONTAINERS_REGISTRIES_CONF": str(self.folder / "registries.conf"),
        }

    def run(self, *command: object) -> str:
        """What it prints. Raises CalledProcessError, after it has shown what was complained of."""
        words = [str(word) for word in command]
        return subprocess.run(words, check=True, env=self.environment, stdout=subprocess.PIPE, text=True).stdout.strip()

    def stand_in(self, name: str, content: Path, place: str, *entrypoint: str) -> None:
        """An image of that name, with this file there (a tar is unpacked), which starts so."""
        container = self.run("buildah", "from", "scratch")
        self.run("buildah", "add", "--quiet", container, content, place)
        if entrypoint:
            self.run("buildah", "config", "--entrypoint", json.dumps(entrypoint), container)
        self.run("buildah", "commit", "--quiet", "--rm", container, name)

    def save(self, name: str, folder: Path) -> None:
        path = folder / f"{re.sub(r'[^a-z0-9.]+', '-', name)}.tar"
        self.run("buildah", "push", "--quiet", name, f"docker-archive:{path}:{name}")


def build(found: parts.Parts, folder: Path) -> None:
    """Each as a tar in `folder`, and what images/build.sh says of their sizes in `sizes.txt`."""
    with tempfile.TemporaryDirectory(prefix="building-", dir=folder) as scratch:
        builder = Builder(Path(scratch))
        builder.stand_in(python(), found.base, "/")
        said = builder.run(ROOT / "images" / "build.sh", REGISTRY, tag())
        builder.stand_in(nats(), find_binary(), "/nats-server", "/nats-server")
        builder.stand_in(PAUSE, found.debian / "bin" / "busybox", "/busybox", "/busybox", "sleep", "2147483647")
        ours = [line.partition(": ")[0] for line in said.splitlines()]
        for name in (*ours, nats(), PAUSE):
            builder.save(name, folder)
    (folder / "sizes.txt").write_text(said)


if __name__ == "__main__":
    made_of = parts.find()
    machine.overlay(made_of.debian)
    build(made_of, Path(sys.argv[1]))
