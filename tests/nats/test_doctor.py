"""`sagamesh doctor` at real servers of every kind, without a cluster. With one: tests/kubernetes/test_get.py."""

from __future__ import annotations

import asyncio
import itertools
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from sagamesh.language.model import Action, Saga, StartSpec, Step
from sagamesh.rules.projection import project
from sagamesh_cli.main import app
from sagamesh_jetstream.client.session import NatsJetStream, connect
from sagamesh_jetstream.upkeep.distribute import distribute
from support.servers.cluster import Cluster
from support.servers.nats_server import NatsServer

CHARGE = Step(
    name="charge", participant="payments", after=("go",), action=Action(path="/charge"), emits=(), read_only=True
)
RULES = project(
    Saga(namespace="shop", name="checkout", start=StartSpec(participant="orders", event="go"), steps=(CHARGE,))
)


class Plain(NatsServer):
    """Without JetStream."""

    def _config(self) -> dict[str, Any]:
        return {key: value for key, value in super()._config().items() if key != "jetstream"}


@pytest.fixture(autouse=True)
def _no_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)


def doctor(url: str, status: int = 0) -> list[str]:
    """What it says of NATS."""
    done = CliRunner().invoke(app, ["doctor", "--nats", url])
    assert done.exit_code == status, done.output
    _, _, said = done.stdout.partition("\nnats\n")
    return [line.strip() for line in said.splitlines()]


def test_without_jetstream(tmp_path: Path) -> None:
    with Plain(tmp_path) as server:
        assert "failure  JetStream is on: JetStream is not enabled" in doctor(server.url, status=1)


def test_a_lone_server_that_nobody_has_used_yet(tmp_path: Path) -> None:
    with NatsServer(tmp_path) as server:
        said = doctor(server.url)
    assert said[0].startswith("ok       the server answers: version 2.")
    assert "warning  NATS has three servers: it has 1" in said
    assert "warning  there is the bucket sagamesh-rules: not yet" in said
    assert "skipped  NATS syncs before it confirms (sync_interval: always): not visible" in said


def test_buckets_of_somebody_else(tmp_path: Path) -> None:
    async def make(url: str) -> None:
        async with connect(url) as js:
            await js.api("STREAM.CREATE.KV_sagamesh-rules", {"name": "KV_sagamesh-rules", "subjects": ["theirs.>"]})

    with NatsServer(tmp_path) as server:
        asyncio.run(make(server.url))
        wanted = "failure  there is the bucket sagamesh-rules: it was not made by Sagamesh"
        assert wanted in doctor(server.url, status=1)


def test_three_servers_are_known_by_what_they_hold(tmp_path: Path) -> None:
    async def fill(servers: Cluster) -> None:
        async with connect(servers.url) as js:
            await distribute(js, RULES, installation="here", replicas=3)

    with Cluster(tmp_path) as servers:
        asyncio.run(servers.ready())
        before = doctor(servers.url)
        assert "skipped  NATS has three servers: not visible: the servers do not tell of one another" in before
        asyncio.run(fill(servers))
        said = doctor(servers.url)
    assert "ok       NATS has three servers" in said
    assert "ok       there is the bucket sagamesh-sidecars: it belongs to the installation here" in said


PACE = "each log on a lone server is far from its limit"


def test_a_log_that_takes_all_that_a_lone_server_can_sync(tmp_path: Path) -> None:
    async def look(url: str) -> list[str]:
        async with connect(url) as js:
            await distribute(js, RULES)
            quiet = await asyncio.to_thread(doctor, url)
            writers = [asyncio.create_task(write(js, n)) for n in range(32)]
            busy = await asyncio.to_thread(doctor, url)
            for writer in writers:
                writer.cancel()
            left = (await js.api("STREAM.NAMES", {"offset": 0}))["streams"]
        assert f"ok       {PACE}: in this second SAGA_shop_checkout took 0 registers, the most of all" in quiet
        assert not any("SAGAMESH_DOCTOR" in name for name in left), "what it wrote is gone"
        return busy

    async def write(js: NatsJetStream, writer: int) -> None:
        for n in itertools.count():
            await js.publish(f"saga.shop.checkout.i-{writer}-{n}._.start", b"{}")

    with NatsServer(tmp_path) as server:
        busy = asyncio.run(look(server.url))
    [line] = [line for line in busy if PACE in line]
    assert re.match(rf"(warning|ok) +{PACE}: in this second SAGA_shop_checkout took \d+ registers", line)
    assert re.search(r"this server can sync some [\d,]+$", line), "it was measured"


def test_where_three_servers_hold_the_logs_nothing_is_written(tmp_path: Path) -> None:
    async def look(servers: Cluster) -> list[str]:
        await servers.ready()
        async with connect(servers.url) as js:
            await distribute(js, RULES, installation="here", replicas=3)
        return await asyncio.to_thread(doctor, servers.url)

    with Cluster(tmp_path) as servers:
        assert not any(PACE in line for line in asyncio.run(look(servers)))
