"""The node of these tests, and what docs/install.md makes of it: the tests begin where its reader ends."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from sagamesh_tools.chart import complete
from support.node import parts
from support.node.__main__ import IMAGES
from support.node.node import Node
from support.processes.tour import Shell, Tour

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "install.md"


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    if IMAGES not in os.environ:
        pytest.skip("a node needs namespaces of its own: run `make test-node`")
    images = Path(os.environ[IMAGES])
    with Node(tmp_path_factory.mktemp("node"), parts.find(), images, cgroup=images.name) as running:
        yield running


@pytest.fixture(scope="session")
def tour(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tour]:
    """The first saga has been completed."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("manifests", "examples"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "charts").mkdir()
    complete(folder / "charts")
    with Shell(folder, node.environment()) as shell:
        tour = Tour(PAGE, shell)
        tour.until_installed()
        yield tour


@pytest.fixture(autouse=True)
def _machine(node: Node, report: list[str]) -> None:
    """Says at the end what all this ran on, and how large the images are."""
    report.append(", ".join(f"{name} {version}" for name, version in parts.versions(node.parts).items()))
    sizes = re.findall(r"([\w-]+):\S+: (.+)", (node.images / "sizes.txt").read_text())
    report.append("images: " + ", ".join(f"{name} {size}" for name, size in sizes))
