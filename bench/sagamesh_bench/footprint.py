"""What a sidecar takes that has nothing to do: memory, and the time from its start until it is ready."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import NamedTuple

from sagamesh_bench.rig import Rig, rss_mib
from sagamesh_bench.sagas import NAMESPACE
from sagamesh_cli.local.sidecars import ProcessMember
from sagamesh_sidecar.settings import SidecarSettings

TRIES = 5
"""Sidecars that are started: the median of five bears two that were disturbed."""


class Footprint(NamedTuple):
    """Medians of several processes: `rss` in MiB, `ready` in seconds."""

    rss: float
    ready: float


async def footprint(rig: Rig) -> Footprint:
    """Start one sidecar after the other, with rules of three sagas, against a server that runs already."""
    starts = [await _one(rig, number) for number in range(TRIES)]
    return Footprint(
        statistics.median(one.rss for one in starts),
        statistics.median(one.ready for one in starts),
    )


async def _one(rig: Rig, number: int) -> Footprint:
    """From the fork to the ready file, which is written when the rules are read; and what it then takes."""
    directory = Path(rig.directory, f"idle-{number}")
    directory.mkdir()
    settings = SidecarSettings(
        namespace=NAMESPACE,
        participant="b",
        nats=rig.server.url,
        app="http://127.0.0.1:9",
        api_port=0,
        health_host="127.0.0.1",
        health_port=0,
    )
    member = ProcessMember(settings, directory)
    begun = time.perf_counter()
    await member.start()
    ready = time.perf_counter() - begun
    assert member.process is not None
    rss = rss_mib(member.process.pid)
    await member.stop()
    return Footprint(rss, ready)
