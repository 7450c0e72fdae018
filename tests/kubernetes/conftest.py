"""The cluster of these tests: one for each process that runs them, and a namespace for each test."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from support import control_plane, programs
from support.control_plane import Cluster

FOUND = pytest.StashKey[programs.Source | Exception]()


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Build the control plane here if need be: a build of minutes must not count as the first test's time."""
    if any("cluster" in getattr(item, "fixturenames", ()) for item in session.items):
        session.config.stash[FOUND] = _found()


def _found() -> programs.Source | Exception:
    try:
        return programs.find()
    except (programs.NoPrograms, programs.WrongSource) as error:
        return error


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A Kubernetes API server; tests that need one are skipped where there is none, unless REQUIRE_CLUSTER is set."""
    found = request.config.stash[FOUND]
    if isinstance(found, programs.NoPrograms) and not programs.required(os.environ):
        pytest.skip(str(found))
    if isinstance(found, Exception):
        pytest.fail(str(found), pytrace=False)
    with control_plane.cluster(tmp_path_factory.mktemp("cluster"), found) as running:
        yield running


@pytest.fixture
def namespace(cluster: Cluster) -> str:
    """A new namespace. It stays: to delete one takes a controller manager."""
    return cluster.namespace()


@pytest.fixture(autouse=True)
def _version(request: pytest.FixtureRequest, report: list[str]) -> None:
    """Says at the end of the run what it ran against."""
    if "cluster" in request.fixturenames:
        running: Cluster = request.getfixturevalue("cluster")
        report.append(f"Kubernetes {running.version}, {running.source}")


@pytest.fixture(scope="session")
def resources(cluster: Cluster) -> None:
    """STUB"""
    import pathlib

    root = pathlib.Path(__file__).parents[2] / "manifests"
    for name in ("crds", "rbac"):
        cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", root / f"{name}.yaml")
    cluster.kubectl("wait", "--for=condition=Established", "crd/sagas.sagamesh.dev")
