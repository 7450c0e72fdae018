"""What each part imports, its extra installs: nothing works by the accident of a shared environment."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PARTS = {
    "core/sagamesh": "",
    "jetstream/sagamesh_jetstream": "jetstream",
    "sidecar/sagamesh_sidecar": "sidecar",
    "operator/sagamesh_operator": "operator",
    "operator/sagamesh_operator/adapters/kubernetes.py": "cluster",
    "operator/sagamesh_operator/crd.py": "cli",
    "operator/sagamesh_operator/ports.py": "cli",
    "cli/sagamesh_cli": "cli",
}
"""A package, or one module of it -> the extra that brings what it imports."""
DISTRIBUTIONS = packages_distributions()


def imported(part: Path) -> set[str]:
    """The top-level names of everything that is imported anywhere in a package or a module."""
    found = set()
    for path in part.rglob("*.py") if part.is_dir() else (part,):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {name.name.partition(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
    return {name for name in found if name not in sys.stdlib_module_names and not name.startswith("sagamesh")}


def installed(name: str, extra: str) -> Iterator[str]:
    """The distributions that come with an extra, directly or through others."""
    for text in requires(name) or ():
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            yield canonicalize_name(requirement.name)
            for further in requirement.extras or {""}:
                yield from installed(requirement.name, further)


@pytest.mark.parametrize(("part", "extra"), PARTS.items())
def test_an_extra_installs_all_that_its_part_imports(part: str, extra: str) -> None:
    available = set(installed("sagamesh", extra))
    for name in imported(ROOT / part):
        assert available & set(map(canonicalize_name, DISTRIBUTIONS[name])), (
            f"{part} imports {name}, [{extra}] lacks it"
        )


def test_the_sidecar_stays_light() -> None:
    heavy = {"aiohttp", "kopf", "kubernetes", "protobuf", "typer", "rich", "pyyaml", "pydantic"}
    assert not heavy & set(installed("sagamesh", "sidecar"))


@pytest.mark.parametrize("extra", ["jetstream", "sidecar", "cli"])
def test_the_libraries_of_a_cluster_come_with_its_extra_alone(extra: str) -> None:
    of_a_cluster = {"aiohttp", "cryptography", "kopf", "kubernetes"}
    assert not of_a_cluster & set(installed("sagamesh", extra))
    assert {"aiohttp", "kubernetes"} <= set(installed("sagamesh", "cluster"))
    assert of_a_cluster <= set(installed("sagamesh", "operator"))


def test_who_speaks_to_nats_gets_it_by_one_extra() -> None:
    for extra in ("sidecar", "operator", "cli"):
        assert set(installed("sagamesh", "jetstream")) <= set(installed("sagamesh", extra))
