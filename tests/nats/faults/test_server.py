"""A lone server that goes, pauses, comes late, is full or forbids something. All on one stage, mended after each test.

F6, `kill -9` of the server: test_kills.py, and tests/nats/test_nats_adapter.py, which also has the pauses that end a
connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sagamesh.distribution import topology
from sagamesh.errors import UnavailableError
from sagamesh_cli.errors import EnvironmentFault
from sagamesh_cli.local.mesh import provision, read_sagas
from support.builders.documents import CHECKOUT
from support.builders.orders import MEALS, Orders, conclude, mixed, place, slow_kitchen, under_way, unknown
from support.processes.shared import Play, shared
from support.processes.stage import Stage, stage, until
from support.processes.web import ask
from support.servers.nats_server import GovernedServer

NOTICED = 10.0
"""Seconds until whoever looks at a sidecar sees that something is wrong."""
BURST = 30.0
"""Seconds that a planned restart may be felt."""
DISK = 64 * 1024 * 1024


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The directory of the stage. The server's own is a small disk, where this machine lets us have one."""
    directory = tmp_path_factory.mktemp("server")
    at = directory / "nats"
    at.mkdir()
    mounted = False
    if shutil.which("mount"):
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "none", str(at)]
        mounted = subprocess.run(mount, check=False, capture_output=True).returncode == 0
    yield directory
    if mounted:
        subprocess.run(["umount", str(at)], check=True)


@pytest.fixture(scope="module")
def shared_play(disk: Path, full: bool) -> Iterator[Play]:
    with shared(stage(MEALS, disk, server=GovernedServer, **slow_kitchen(full)), 240 if full else 60) as play:
        yield play


@pytest.fixture
def play(shared_play: Play) -> Iterator[Play]:
    yield shared_play
    shared_play(mend)


async def mend(on: Stage) -> None:
    """For the next test, however this one ended."""
    server = governed(on)
    if ballast(on).exists():
        ballast(on).unlink()
        server.stop()
    if server.running:
        server.resume()
    server.start()
    if server.denied or server.limits:
        server.denied, server.limits = (), None
        await server.reload()
    config = (await on.api(f"STREAM.INFO.{on.stream}"))["config"]
    await on.api(f"STREAM.UPDATE.{on.stream}", config | {"max_bytes": -1})
    async with asyncio.timeout(20):
        while not await answered(on):
            await asyncio.sleep(0.02)


async def answered(on: Stage) -> bool:
    """Whether the log can be read: a connection that has just died still counts as one."""
    with contextlib.suppress(UnavailableError):
        return bool(await on.everything())
    return False


def governed(on: Stage) -> GovernedServer:
    assert isinstance(on.server, GovernedServer)
    return on.server


def ballast(on: Stage) -> Path:
    return on.server.directory / "ballast"


def fill(file: Path) -> None:
    """Make it as large as its disk lets it be."""
    with file.open("wb", buffering=0) as growing, contextlib.suppress(OSError):
        while True:
            growing.write(bytes(4096))


async def noticed(on: Stage, before: float) -> None:
    """The metrics show that registers cannot be written."""
    async with asyncio.timeout(NOTICED):
        while await unknown(on) == before:
            await asyncio.sleep(0.02)


async def refused(on: Stage, orders: Orders) -> None:
    """The first of these is not taken while registers cannot be written, and may be sent again."""
    key, kind = next(iter(orders.items()))
    answer = await on.post(key, **kind.order)
    assert (answer.status, answer.body["code"]) == (503, "start-unknown")


async def deliveries(on: Stage, participant: str) -> float:
    return await on.metric("deliveries_total", participant)


def lines_of(on: Stage, participant: str) -> list[str]:
    """What a sidecar has logged."""
    return on.sidecars[participant][0].log.read_text().splitlines()


async def probe(on: Stage, participant: str, name: str) -> tuple[int, str]:
    answer = await ask("GET", f"{on.urls[participant][0].health}/{name}")
    return answer.status, answer.text.strip()


async def ready(on: Stage) -> None:
    for participant in on.sidecars:
        while (await probe(on, participant, "readyz"))[0] != 200:
            await asyncio.sleep(0.02)


def test_f7_a_planned_restart(play: Play) -> None:
    """As a lame duck, which first takes no new clients, and then sends those away that it has."""

    async def scenario(on: Stage) -> None:
        orders = await under_way(on, "f7")
        begun = time.monotonic()
        governed(on).retire()
        later = mixed("f7-later", 6)
        placing = asyncio.create_task(place(on, later))
        await until(lambda: not governed(on).running)
        on.server.start()
        # F7: Starts are answered with 202, or with 503 or not at all until the server is back
        assert {*await placing} <= {202, 200, 503, 0}  # 200: one that was taken, and not answered
        # F7: sidecars connect again by themselves
        await ready(on)
        # F7: everything goes on
        await conclude(on, orders | later)
        # F7: within 30 s
        assert time.monotonic() - begun < BURST

    play(scenario)


def test_f10_the_server_pauses(play: Play, full: bool) -> None:
    async def scenario(on: Stage) -> None:
        for seconds in (3, 40) if full else (3,):
            orders = await under_way(on, f"f10-{seconds}")
            governed(on).pause()
            await asyncio.sleep(seconds)
            governed(on).resume()
            later = mixed(f"f10-{seconds}-later", 6)
            await place(on, later)
            # F10: written again, and stands once
            await conclude(on, orders | later)
            # F10: connected to anew
            await ready(on)

    play(scenario)


@pytest.mark.of_its_kind
def test_f11_sidecars_that_start_without_a_server(play: Play, full: bool) -> None:
    async def scenario(on: Stage) -> None:
        orders = await under_way(on, "f11")
        on.server.stop()
        await asyncio.gather(*(member.kill() for member in on.members()))
        for participant in on.sidecars:
            # F11: A sidecar that finds no server starts all the same
            await started(on, participant)
            # F11: /readyz 503 "NATS does not answer"
            assert await probe(on, participant, "readyz") == (503, "NATS does not answer")
        early = await on.post("f11-early")
        # F11: starts are answered with 503 `rules-missing`
        assert (early.status, early.body["code"]) == (503, "rules-missing")
        await asyncio.sleep(120 if full else 0)
        on.server.start()
        await asyncio.gather(*(member.revived() for member in on.members()))
        # F11: as soon as there is a server it reads its rules, is ready
        await ready(on)
        orders |= mixed("f11-later", 6)
        await place(on, orders)
        # F11: works
        await conclude(on, orders)

    async def started(on: Stage, participant: str) -> None:
        while True:
            with contextlib.suppress(OSError):
                # F11: /startupz is 200
                assert (await probe(on, participant, "startupz"))[0] == 200
                return
            await asyncio.sleep(0.02)

    play(scenario)


def test_f37_the_disk_is_full(play: Play) -> None:
    async def scenario(on: Stage) -> None:
        if not os.path.ismount(on.server.directory):
            pytest.skip("a small disk has to be mounted for this, which takes root")
        orders = await under_way(on, "f37")
        before = await unknown(on)
        fill(ballast(on))
        later = mixed("f37-later", 12)
        placing = asyncio.create_task(place(on, later))
        # F37: the metric `sagamesh_writes_total{result="unknown"}` grows
        await noticed(on, before)
        last = mixed("f37-last", 3)
        # F37: Starts are answered with 503
        await refused(on, last)
        kept = await on.everything()
        ballast(on).unlink()
        on.server.restart()  # a server that could not write leaves a stream alone until it starts anew
        await placing
        await place(on, last)
        # F37: once there is room and the server was restarted
        # F37: everything goes on
        await conclude(on, orders | later | last)
        # F37: nothing that was confirmed is gone
        assert (await on.everything())[: len(kept)] == kept

    play(scenario)


def test_f38_the_stream_is_full(play: Play) -> None:
    async def scenario(on: Stage) -> None:
        orders = await under_way(on, "f38")
        before = await unknown(on)
        info = await on.api(f"STREAM.INFO.{on.stream}")
        await on.api(f"STREAM.UPDATE.{on.stream}", info["config"] | {"max_bytes": info["state"]["bytes"]})
        later = mixed("f38-later", 6)
        # F38: starts wait and get 503
        await refused(on, later)
        placing = asyncio.create_task(place(on, later))
        # F38: writes are unknown
        await noticed(on, before)
        kept = await on.everything()
        # F38: A stream that is full (max_bytes) takes no register
        assert not placing.done()
        await on.api(f"STREAM.UPDATE.{on.stream}", info["config"])
        await placing
        # F38: all goes on by itself when the limit is raised
        await conclude(on, orders | later)
        # F38: drops none
        assert (await on.everything())[: len(kept)] == kept

    play(scenario)


def test_f39_the_account_is_full(play: Play) -> None:
    """Of bytes: registers wait. Of streams: another saga is refused, and those that run do not notice."""

    async def scenario(on: Stage) -> None:
        orders = await under_way(on, "f39")
        before = await unknown(on)
        there = await on.api("INFO")
        governed(on).limits = {"max_file": there["storage"], "max_mem": 0, "max_streams": there["streams"]}
        await governed(on).reload()
        later = mixed("f39-later", 6)
        placing = asyncio.create_task(place(on, later))
        # F39: An account that is full of bytes is as a full stream
        await noticed(on, before)
        assert not placing.done()

        governed(on).limits = {"max_streams": there["streams"]}
        await governed(on).reload()
        await placing
        file = on.directory / "another.yaml"
        file.write_text(CHECKOUT)
        another = read_sagas([str(file)])
        # F39: one that may have no more streams refuses a new saga with that very reason
        with pytest.raises(EnvironmentFault, match="maximum number of streams reached"):
            await provision(on.server.url, another)
        # F39: the sagas that run do not notice
        await conclude(on, orders | later)

        governed(on).limits = None
        await governed(on).reload()
        await provision(on.server.url, another)

    play(scenario)


def test_f46_a_right_is_taken_away(play: Play, full: bool) -> None:
    """To ack: everything is delivered again and again, without doing anything twice, and nobody is left in the dark."""

    async def scenario(on: Stage) -> None:
        governed(on).denied = ("$JS.ACK.>",)
        await governed(on).reload()
        orders = await under_way(on, "f46")
        # F46: A right that is taken away is noticed within ten seconds
        # F46: `sagamesh_nats_refused` is 1
        async with asyncio.timeout(NOTICED):
            while await on.metric("nats_refused", "kitchen") != 1:
                await asyncio.sleep(0.02)
        status, why = await probe(on, "kitchen", "readyz")
        # F46: /readyz is 503 with the server's words
        assert (status, "permissions violation" in why) == (503, True)
        # F46: the log names the subject
        assert any("permissions violation" in line and "$js.ack." in line for line in lines_of(on, "kitchen"))
        await conclude(on, orders)

        info = await on.api(f"CONSUMER.INFO.{on.stream}.kitchen")
        waiting, ack_wait = info["num_ack_pending"], info["config"]["ack_wait"] / topology.SECOND
        assert waiting >= len(orders)
        begun, handled, calls = (
            time.monotonic(),
            await deliveries(on, "kitchen"),
            await on.metric("calls_total", "kitchen"),
        )
        stands = await on.everything()
        while await deliveries(on, "kitchen") <= handled + waiting:  # then one came twice
            await asyncio.sleep(0.02)
        # F46: deliveries that cannot be acked come again once in `ack_wait`
        assert time.monotonic() - begun > 0.9 * ack_wait, "faster than the server hands out what was not acked"
        # F46: call no app
        assert await on.metric("calls_total", "kitchen") == calls
        # F46: change nothing
        assert await on.everything() == stands

        governed(on).denied = ()
        await governed(on).reload()
        await on.idle()
        later = mixed("f46-later", 6)
        await place(on, later)
        await conclude(on, later)

    play(scenario)
