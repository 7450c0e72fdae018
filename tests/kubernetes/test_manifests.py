"""What people apply on the first day, on a real API server: NATS for a trial, and the services of the examples."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.servers.control_plane import Cluster

ROOT = Path(__file__).parents[2]
MANIFESTS = [ROOT / "manifests" / "nats.yaml", *sorted((ROOT / "manifests" / "examples").glob("*.yaml"))]


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_it_is_taken_without_a_warning_and_again_without_a_change(cluster: Cluster, path: Path) -> None:
    """The namespaces warn of every pod that is less than *restricted*, those of Deployments included."""
    apply = ("apply", "--server-side", "--validate=strict", "-f", path)
    first = cluster.kubectl(*apply)
    assert first.stderr == ""
    objects = first.stdout.splitlines()
    assert len(objects) == path.read_text().count("\nkind: ")
    assert cluster.kubectl(*apply).stdout.splitlines() == objects
