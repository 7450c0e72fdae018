"""The shop of docs/install.md, to the tests of a node: its pods, what their sidecars count, and who orders there."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections import Counter
from http.client import HTTPException
from pathlib import Path
from typing import Any, Self

import yaml
from prometheus_client.parser import text_string_to_metric_families

from support.node.node import Node
from support.servers.control_plane import until

ROOT = Path(__file__).parents[3]
SHOP = "shop"
SERVICES = "app.kubernetes.io/part-of=create-order"
"""Selects the pods of the four: the shoppers have sidecars, too, but no app."""
PARTICIPANTS = ("orders", "consumers", "kitchen", "accounting")
EXAMPLE = ROOT / "examples" / "02-create-order"
TERMINATE = "import os, signal; os.kill(1, signal.SIGTERM)"
SHOPPER = ROOT / "tests" / "node" / "shopper.py"


def pods(node: Node, selector: str = "") -> list[dict[str, Any]]:
    found = node.kubectl("-n", SHOP, "get", "pods", f"--selector={selector}", "--output=json").stdout
    return list(json.loads(found)["items"])


class Calls:
    """What every sidecar has counted, each as it was last seen: it is asked until it is gone."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.last: dict[str, dict[str, float]] = {}  # by pod, then by answer
        self.unheard: set[str] = set()
        """Pods that have never answered."""
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()

    def _watch(self) -> None:
        while not self.over.wait(0.1):
            for pod in pods(self.node, SERVICES):
                name = pod["metadata"]["name"]
                self.unheard.add(name)
                try:
                    self.last[name] = self._ask(pod["status"]["podIP"])
                except (OSError, HTTPException, KeyError):  # it is not there yet, or not any more
                    continue
            self.unheard -= self.last.keys()

    def _ask(self, address: str) -> dict[str, float]:
        counts: Counter[str] = Counter()
        with urllib.request.urlopen(f"http://{address}:3651/metrics", timeout=2) as answer:
            for family in text_string_to_metric_families(answer.read().decode()):
                for sample in family.samples:
                    if sample.name == "sagamesh_calls_total":
                        counts[sample.labels["answer"]] += int(sample.value)
        return dict(counts)

    def by_answer(self) -> Counter[str]:
        return sum((Counter(counts) for counts in self.last.values()), Counter[str]())


class Shoppers:
    """Jobs that place orders. Their pods take part: each has a sidecar, at which a saga of its own starts."""

    def __init__(self, node: Node) -> None:
        self.node = node
        script = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "shopper", "namespace": SHOP}}
        self.apply(script | {"data": {SHOPPER.name: SHOPPER.read_text()}})

    def apply(self, document: dict[str, Any]) -> None:
        self.node.kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump(document))

    def saga(self) -> None:
        """Example 02, but begun by a participant of another name."""
        text = (EXAMPLE / "saga.yaml").read_text()
        text = text.replace("name: create-order", "name: bulk-order", 1).replace(
            "participant: orders", "participant: shopper", 1
        )
        self.node.kubectl("-n", SHOP, "apply", "--server-side", "-f", "-", stdin=text)

    def send(self, name: str, count: int) -> None:
        documents = yaml.safe_load_all((ROOT / "manifests" / "examples" / "02-create-order.yaml").read_text())
        pod = next(each["spec"]["template"]["spec"] for each in documents if each["kind"] == "Deployment")
        [app] = pod["containers"]
        own = {
            "securityContext": app["securityContext"],
            "volumeMounts": [{"name": "shopper", "mountPath": "/shopper"}],
        }
        container = {"name": "shopper", "image": app["image"], "args": [f"/shopper/{SHOPPER.name}", name, str(count)]}
        template = {
            "metadata": {"labels": {"sagamesh.dev/participant": "shopper"}},  # no port: it only starts sagas
            "spec": {
                "restartPolicy": "Never",
                "securityContext": pod["securityContext"],
                "containers": [container | own],
                "volumes": [{"name": "shopper", "configMap": {"name": "shopper"}}],
            },
        }
        job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "namespace": SHOP}}
        self.apply(job | {"spec": {"backoffLimit": 0, "template": template}})

    def close(self, name: str) -> None:
        self.node.kubectl("-n", SHOP, "exec", f"job/{name}", "--container=shopper", "--", "python", "-c", TERMINATE)

    def result(self, name: str) -> dict[str, Any]:
        """What it said, once its Job is complete."""
        until(lambda: self.status(name).keys() & {"succeeded", "failed"}, 180)
        assert self.status(name).get("succeeded") == 1, self.node.kubectl("-n", SHOP, "describe", "pods").stdout
        said = self.node.kubectl("-n", SHOP, "logs", f"job/{name}", "--container=shopper").stdout
        found: dict[str, Any] = json.loads(said)
        return found

    def status(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.node.kubectl("-n", SHOP, "get", "job", name, "--output=json").stdout)
        return dict(found["status"])
