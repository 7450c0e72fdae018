"""`sagamesh-sidecar`: one sidecar as a process, set by its environment, stopped by SIGTERM."""

from __future__ import annotations

import asyncio
import logging
import resource
import signal
import sys
from pathlib import Path

import msgspec
import uvloop

from sagamesh_sidecar import logs
from sagamesh_sidecar.app import Sidecar
from sagamesh_sidecar.settings import Settings, from_environment
from sagamesh_sidecar.trouble import PortError, SettingsError

FILES = 16 * 1024
"""Open files, nearly all of them connections; two servers take up to 4096 each."""


async def serve(settings: Settings) -> None:
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
        path = Path(sidecar.settings.ready_file)
        half = path.with_suffix(".half")
        half.write_bytes(msgspec.json.encode(urls))
        half.rename(path)


def allow_connections() -> None:
    """As many files as the system lets us have: at a soft limit of 1024 a flood would be cut off without an answer."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(hard, FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def main() -> None:
    """Exit 2: a setting is missing or wrong. Exit 3: a port cannot be had."""
    try:
        allow_connections()
        settings = from_environment()
        logs.configure(settings.log_level, logs.JsonFormatter(pod=settings.pod))
        uvloop.run(serve(settings))
    except SettingsError as error:
        sys.exit(_say(error, 2))
    except PortError as error:
        sys.exit(_say(error, 3))


def _say(error: Exception, code: int) -> int:
    print(f"sagamesh-sidecar: {error}", file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
