"""The cluster of these tests: one for each process that runs them, and a namespace for each test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from sagamesh.api_group import CRD
from support.servers import control_plane, programs
from support.servers.control_plane import Cluster, ControlPlane

MANIFESTS = Path(__file__).parents[2] / "manifests"
RIGHTS = ("Namespace", "ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")
FOUND = pytest.StashKey[programs.Source | Exception]()


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Build the control plane here if need be: a build of minutes must not count as the first test's time."""
    if any({"cluster", "empty_cluster"} & {*getattr(item, "fixturenames", ())} for item in session.items):
        session.config.stash[FOUND] = _found()


def _found() -> programs.Source | Exception:
    try:
        return programs.find()
    except (programs.NoPrograms, programs.WrongSource) as error:
        return error


def _source(request: pytest.FixtureRequest) -> programs.Source:
    found = request.config.stash[FOUND]
    if isinstance(found, programs.NoPrograms) and not programs.required(os.environ):
        pytest.skip(str(found))
    if isinstance(found, Exception):
        pytest.fail(str(found), pytrace=False)
    return found


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A Kubernetes API server; tests that need one are skipped where there is none, unless REQUIRE_CLUSTER is set."""
    with control_plane.cluster(tmp_path_factory.mktemp("cluster"), _source(request)) as running:
        yield running


@pytest.fixture
def ours(cluster: Cluster) -> ControlPlane:
    """The cluster, where it is processes of ours: a given one is not ours to meddle with."""
    if not isinstance(cluster, ControlPlane):
        pytest.skip("this needs a control plane of our own")
    return cluster


@pytest.fixture(scope="module")
def empty_cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """One more, in which nobody has installed anything: Helm takes over nothing that is not its own."""
    source = _source(request)
    if not isinstance(source, programs.Programs):
        pytest.skip("a given cluster may have Sagamesh already")
    with ControlPlane(tmp_path_factory.mktemp("empty"), source) as running:
        yield running


@pytest.fixture(scope="session")
def resources(cluster: Cluster) -> Cluster:
    """The cluster with what an administrator installs first: the Saga resource, and the rights of the operator."""
    documents = yaml.safe_load_all((MANIFESTS / "install.yaml").read_text())
    rights = [each for each in documents if each["kind"] in RIGHTS]
    cluster.kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump_all(rights))
    cluster.kubectl("apply", "--server-side", "-f", MANIFESTS / "crds.yaml")
    cluster.kubectl("wait", "--for=condition=Established", f"crd/{CRD}", "--timeout=30s")
    return cluster


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
