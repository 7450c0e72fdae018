"""Sagamesh on a real node, from the first day on: docs/install.md line by line, then restarts and outages.

The tests build on one another, in this order: a node takes half a minute, and the installation a minute more.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.node import images
from support.node.node import Node
from support.node.shop import EXAMPLE, PARTICIPANTS, SERVICES, SHOP, Calls, Shoppers, pods
from support.processes.tour import Tour
from support.servers.control_plane import until

SYSTEM = "sagamesh-system"
RESTARTS = 5
ENDLESS = 10**9
UNANSWERED = {"away", "none", "5xx", "503"}
"""What a call comes to when the app is not there, or not any more."""

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def shoppers(tour: Tour, node: Node) -> Shoppers:
    """One of them places orders all the time. The operator has told all of their saga, and is gone from then on."""
    shoppers = Shoppers(node)
    shoppers.send("all-day", ENDLESS)
    shoppers.saga()
    node.kubectl("-n", SHOP, "wait", "--for=condition=Ready", "saga/bulk-order", "--timeout=50s")
    node.kubectl("-n", SYSTEM, "scale", "deployment/sagamesh-operator", "--replicas=0")
    subprocess.run(["pkill", "-KILL", "-f", "bin/sagamesh-operator"], check=True)  # before it has put anything away
    operators(node, 0)
    return shoppers


def operators(node: Node, count: int) -> None:
    """So many there are from now on."""
    node.kubectl("-n", SYSTEM, "scale", "deployment/sagamesh-operator", f"--replicas={count}")
    of_operator = "--selector=app.kubernetes.io/component=operator"
    until(lambda: len(node.kubectl("-n", SYSTEM, "get", "pods", of_operator, "--output=name").stdout.split()) == count)
    node.kubectl("-n", SYSTEM, "rollout", "status", "deployment/sagamesh-operator", "--timeout=50s")


def test_the_first_day_is_as_docs_install_tells(tour: Tour) -> None:
    assert tour.turn > 10


def test_pods_run_with_their_sidecars_as_they_were_injected(tour: Tour, node: Node) -> None:
    seen = {}
    for pod in pods(node, "sagamesh.dev/participant"):
        [sidecar] = pod["status"]["initContainerStatuses"]
        assert sidecar["ready"]
        assert sidecar["restartCount"] == 0
        assert sidecar["image"] == f"{images.REGISTRY}/sagamesh-sidecar:{images.tag()}"
        seen[pod["metadata"]["labels"]["sagamesh.dev/participant"]] = pod["metadata"]["name"]
    assert seen.keys() == set(PARTICIPANTS)
    look = (
        "import os; print(os.getuid(), *(open(f'/proc/1/{file}').read() for file in ('mounts', 'status')), sep='\\n')"
    )
    inside = ("exec", seen["orders"], "--container=sagamesh-sidecar", "--", "python", "-c", look)
    user, root, *rest = node.kubectl("-n", SHOP, *inside).stdout.splitlines()
    assert user == "65532"
    assert re.match(r"overlay / overlay ro,", root)
    assert {"CapEff:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"} < set(rest)


def test_a_job_with_a_sidecar_completes_while_the_operator_is_dead(shoppers: Shoppers) -> None:
    shoppers.send("errands", 30)
    assert shoppers.result("errands") == {"completed": 20, "compensated": 10, "wrong": []}


def restart(node: Node) -> None:
    """All four at once; the last pods may still be leaving when the new ones are there."""
    deployments = [f"deployment/{name}" for name in PARTICIPANTS]
    node.kubectl("-n", SHOP, "rollout", "restart", *deployments)
    for deployment in deployments:
        node.kubectl("-n", SHOP, "rollout", "status", deployment, "--timeout=55s")


def test_rolling_restarts_under_load_fail_no_saga_and_refuse_no_call(
    shoppers: Shoppers, node: Node, report: list[str]
) -> None:
    before = {pod["metadata"]["name"] for pod in pods(node)}
    began = time.monotonic()
    with Calls(node) as calls:
        for _ in range(RESTARTS):
            restart(node)
        until(lambda: all("deletionTimestamp" not in pod["metadata"] for pod in pods(node)), 90)
        minutes = (time.monotonic() - began) / 60
        shoppers.close("all-day")
        result = shoppers.result("all-day")
    assert not calls.unheard
    answers = calls.by_answer()
    sagas = f"{result['completed']} sagas completed, {result['compensated']} compensated"
    counts = ", ".join(f"{answer} {count}" for answer, count in sorted(answers.items()))
    report.append(f"{RESTARTS} rolling restarts in {minutes:.1f} minutes: {sagas}; calls by answer: {counts}")
    assert not before & {pod["metadata"]["name"] for pod in pods(node, SERVICES)}
    assert result["wrong"] == []
    assert result["completed"] > result["compensated"] > 50
    assert answers["2xx"] > 4 * result["completed"]
    assert not UNANSWERED & answers.keys(), f"calls were refused: {answers}"


def test_the_books_of_the_services_agree(shoppers: Shoppers, node: Node, tmp_path: Path) -> None:
    for database in node.directory.glob("volumes/*/*.db"):
        (tmp_path / database.name).symlink_to(database)
    ended = subprocess.run(
        [sys.executable, EXAMPLE / "books.py", tmp_path], check=False, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_all_of_it_is_removed_as_docs_install_tells(tour: Tour, shoppers: Shoppers, node: Node) -> None:
    operators(node, 1)  # whatever was deleted it retires
    tour.until_removed()
    left = node.kubectl("get", "namespaces,crds,clusterroles,mutatingwebhookconfigurations", "--output=name").stdout
    assert "sagamesh" not in left
