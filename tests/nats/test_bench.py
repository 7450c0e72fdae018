"""The benchmark measures what it says: the floor does what the sidecars do, and the soak's books see everything."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from sagamesh.log import registers
from sagamesh_bench.load import loading
from sagamesh_bench.rig import Rig, rig
from sagamesh_bench.sagas import FLOOR, NAMESPACE, SHAPES
from sagamesh_bench.script import Counts, counts, record
from sagamesh_bench.soak import soak
from sagamesh_jetstream.client.session import connect
from support.processes.stage import run
from support.processes.web import ask

SAGAS = 10


async def taken(rig: Rig, namespace: str, saga: str) -> Counts:
    """What each saga took, as the server counts it; reads leave no trace there, calls do at the sidecars."""
    [stream] = registers.streams(namespace, saga)
    async with connect(rig.server.url) as js:
        names = (await js.api(f"CONSUMER.NAMES.{stream}"))["consumers"]
        async with asyncio.timeout(20):
            while True:
                infos = [await js.api(f"CONSUMER.INFO.{stream}.{name}") for name in names if name in "abcd"]
                if not any(info["num_pending"] or info["num_ack_pending"] for info in infos):
                    break
                await asyncio.sleep(0.02)
        writes = (await js.api(f"STREAM.INFO.{stream}"))["state"]["messages"]
        deliveries = sum(info["delivered"]["consumer_seq"] for info in infos)
    return Counts(writes / SAGAS, 0, deliveries / SAGAS, await called(rig, saga) / SAGAS)


async def called(rig: Rig, saga: str) -> float:
    total = 0.0
    for member in rig.sidecars.values():
        text = (await ask("GET", f"http://127.0.0.1:{member.settings.health_port}/metrics")).text
        total += sum(map(float, re.findall(rf'^sagamesh_calls_total{{.*saga="{saga}".*}} (\S+)$', text, re.MULTILINE)))
    return total


def test_the_floor_takes_what_the_sidecars_take(tmp_path: Path, report: list[str]) -> None:
    async def scenario() -> None:
        async with rig(tmp_path) as built:
            for saga, shape in SHAPES.items():
                for namespace in (NAMESPACE, FLOOR):
                    async with loading(built, namespace, saga, 1) as load:
                        for _ in range(SAGAS):
                            await load.once()
                script = counts(record(shape))
                sidecars, floor = await taken(built, NAMESPACE, saga), await taken(built, FLOOR, saga)
                report.append(f"{saga}: the script {script}, sidecars {sidecars}, floor {floor}")
                # Markers come and are refused with the order of concurrent deliveries, two of which may both call a
                # compensation; a straight saga has nothing of that.
                spread = 0 if saga in ("straight", "meal") else 3
                for found in (sidecars, floor):
                    assert found.deliveries == script.deliveries
                    assert abs(found.writes - script.writes) <= spread
                assert script.calls <= sidecars.calls <= script.calls + spread

    run(scenario())


def test_a_short_soak(report: list[str]) -> None:
    said: list[str] = []
    run(check_soak(said))
    report += said


async def check_soak(said: list[str]) -> None:
    # F62: A steady rate of sagas for hours (`make soak MINUTES=480 RATE=50`) ends as it must
    assert await soak(0.1, 30.0, said.append) == []
    # F62: with a sidecar and the server killed once each
    assert sum("kill -9" in line for line in said) == 2
    assert "'diamond': 45, 'straight': 90, 'undone': 45" in said[-1]
