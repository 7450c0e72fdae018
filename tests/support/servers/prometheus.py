"""Prometheus and its promtool: where they come from, and a server of one's own.

They are those of the PATH, else those of Debian's package `prometheus`, unpacked once into the user's cache and
installed nowhere.

    python -m support.servers.prometheus      # finds them or fetches them, and says where they are
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from sagamesh_cli.local.nats_server import die_with
from support.servers import debian
from support.servers.ports import free_ports
from support.servers.programs import cache

NAMES = ("prometheus", "promtool")
INTERVAL = "500ms"
"""Between two scrapes, and between two looks at the rules."""


class NoPrometheus(Exception):  # noqa: N818 - not an error unless REQUIRE_PROMETHEUS is set
    """There is none here, and why. Tests that need it are skipped."""


def required(environment: Mapping[str, str]) -> bool:
    """Whether tests must fail where there is no Prometheus."""
    return environment.get("REQUIRE_PROMETHEUS", "") not in ("", "0")


def find() -> Path:
    """The folder of both programs. Raises NoPrometheus."""
    found = [shutil.which(name) for name in NAMES]
    if all(found) and len({Path(str(program)).parent for program in found}) == 1:
        return Path(str(found[0])).parent
    try:
        return debian.unpacked(cache(os.environ) / "debian" / "prometheus", "prometheus") / "usr" / "bin"
    except debian.NoPackage as error:
        raise NoPrometheus(f"no prometheus and promtool on the PATH, and {error}") from None


def promtool(folder: Path, *arguments: object, stdin: str = "") -> str:
    """What it complains about; empty: all is well."""
    command = [str(folder / "promtool"), *map(str, arguments)]
    ended = subprocess.run(command, check=False, input=stdin, capture_output=True, text=True, timeout=60)
    return ended.stdout + ended.stderr if ended.returncode else ""


class Target(NamedTuple):
    """What is scraped at `url`, in which pod, as a PodMonitor would label it.

    `honest`: labels that the metrics themselves bear come first, as they must for those of the operator.
    """

    url: str
    namespace: str
    pod: str
    honest: bool = False


class Prometheus:
    """A server that runs at `url`."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def values(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Labels and value of each series. Raises AssertionError where it is no expression."""
        found = (await self._get("query", query=expression))["result"]
        return [(series["metric"], float(series["value"][1])) for series in found]

    async def label(self, name: str, selector: str) -> list[str]:
        """The values of a label."""
        found: list[str] = await self._get(f"label/{name}/values", **{"match[]": selector})
        return found

    async def alerts(self) -> set[str]:
        """Those that fire, or would if it stayed so."""
        return {alert["labels"]["alertname"] for alert in (await self._get("alerts"))["alerts"]}

    async def _get(self, path: str, **query: str) -> Any:
        return await asyncio.to_thread(_get, f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(query)}")


def _get(url: str) -> Any:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{url}: {error.read().decode()}") from None


@contextlib.asynccontextmanager
async def scraping(
    folder: Path, directory: Path, targets: Mapping[str, Target], *rules: Path
) -> AsyncIterator[Prometheus]:
    """A Prometheus that scrapes these, by name of job, and looks at these rules. `directory` keeps its log."""
    [port] = free_ports(1)
    config = directory / "prometheus.json"
    config.write_text(json.dumps(_config(targets, rules)))
    options = {
        "config.file": config,
        "storage.tsdb.path": directory / "data",
        "web.listen-address": f"127.0.0.1:{port}",
    }
    with (directory / "prometheus.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            folder / "prometheus",
            *(f"--{name}={value}" for name, value in options.items()),
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=die_with(os.getpid(), signal.SIGKILL),
        )
    try:
        url = f"http://127.0.0.1:{port}"
        async with asyncio.timeout(30):
            while not await asyncio.to_thread(_ready, url):
                assert process.returncode is None, Path(log.name).read_text()
                await asyncio.sleep(0.05)
        yield Prometheus(url)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def _config(targets: Mapping[str, Target], rules: tuple[Path, ...]) -> dict[str, Any]:
    return {
        "global": {"scrape_interval": INTERVAL, "scrape_timeout": INTERVAL, "evaluation_interval": INTERVAL},
        "rule_files": list(map(str, rules)),
        "scrape_configs": [
            {
                "job_name": job,
                "honor_labels": target.honest,
                "static_configs": [
                    {
                        "targets": [target.url.removeprefix("http://")],
                        "labels": {"namespace": target.namespace, "pod": target.pod},
                    }
                ],
            }
            for job, target in targets.items()
        ],
    }


def _ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/-/ready", timeout=5):
            return True
    except OSError:  # not yet: no answer, or 503
        return False


def main() -> int:
    """Exit status 0 if there is one, or its tests may be skipped."""
    try:
        print(f"Prometheus: {find()}")
    except NoPrometheus as error:
        print(error, file=sys.stderr)
        return int(required(os.environ))
    return 0


if __name__ == "__main__":
    sys.exit(main())
