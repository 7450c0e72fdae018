"""What `helm test` runs, against what the operator serves. Its saga completes in `tests/nats/test_installed.py`."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

from sagamesh_operator import probes
from sagamesh_operator.metrics import OperatorMetrics
from sagamesh_tools.chart import CHART

PROGRAM = CHART / "files" / "installed.py"


async def judge(
    directory: Path, *, ready: Callable[[], str], connected: Callable[[], bool] = lambda: True, patience: float = 30
) -> tuple[int, list[str]]:
    """How the test ends, and what it says, each line without its subject. Its sidecar ends at once."""
    sidecar = directory / "sagamesh-sidecar"
    sidecar.write_text("#!/bin/sh\nexit 7\n")
    sidecar.chmod(0o755)
    told = {**os.environ, "PATIENCE": str(patience), "PAUSE": "0.01", "PATH": f"{directory}:{os.environ['PATH']}"}
    metrics = OperatorMetrics(connected=connected, behind=lambda: 0.0)
    async with probes.serving("127.0.0.1", 0, metrics=metrics.exposition, alive=lambda: "", ready=ready) as url:
        process = await asyncio.create_subprocess_exec(
            sys.executable, PROGRAM, url.removeprefix("http://"), stdout=-1, stderr=-2, env=told
        )
        said, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, [line.removeprefix(f"{url[7:]}: ") for line in said.decode().splitlines()]


def test_what_is_not_there_in_time_is_told_with_its_reason(tmp_path: Path) -> None:
    code, said = asyncio.run(judge(tmp_path, ready=lambda: "the Sagas were not listed yet", patience=0.1))
    reason = "503 the Sagas were not listed yet"
    assert (code, said) == (1, [f"not yet: {reason}", f"for 0.1 seconds: {reason}"])


def test_it_asks_again_and_tells_each_new_reason_once(tmp_path: Path) -> None:
    states, connections = ["starting", "starting", "not listed yet", ""], [False, False, True]
    code, said = asyncio.run(judge(tmp_path, ready=lambda: states.pop(0), connected=lambda: connections.pop(0)))
    assert said[:3] == ["not yet: 503 starting", "not yet: 503 not listed yet", "ok"]
    assert said[3:5] == ["NATS: not yet: NATS does not answer the operator; its log says why", "NATS: connected"]
    assert (states, connections) == ([], [])
    assert (code, said[-1]) == (1, "the sidecar ended with 7")
