"""One sidecar as a process: its signals, its log, its limits. `__main__` starts it."""

from __future__ import annotations

import asyncio
import logging
import resource
import signal
from pathlib import Path

import msgspec
import uvloop

from sagamesh_sidecar import json_logging
from sagamesh_sidecar.adapters.files import write_whole
from sagamesh_sidecar.app import Sidecar
from sagamesh_sidecar.settings import SidecarSettings

FILES = 16 * 1024
"""Open files, nearly all of them connections; two servers take up to 4096 each."""


async def serve(settings: SidecarSettings) -> None:
    """Run a sidecar until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    sidecar = Sidecar(settings)
    await sidecar.run(stop, ready=lambda: announce(sidecar))


def announce(sidecar: Sidecar) -> None:
    """Say that the rules are read and where the API listens."""
    urls = {"api": sidecar.api.url, "health": sidecar.health.url}
    logging.getLogger("sagamesh.sidecar").info("ready", extra=urls)
    if sidecar.settings.ready_file:
        write_whole(Path(sidecar.settings.ready_file), msgspec.json.encode(urls))


def allow_connections() -> None:
    """As many files as the system lets us have: at a soft limit of 1024 a flood would be cut off without an answer."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(hard, FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def run(settings: SidecarSettings) -> None:
    """Returns after SIGTERM. Raises PortError."""
    allow_connections()
    json_logging.configure(settings.log_level, json_logging.JsonFormatter(pod=settings.pod))
    uvloop.run(serve(settings))
