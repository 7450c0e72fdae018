"""What `helm test` runs, against what the operator serves."""

from __future__ import annotations

import asyncio
import sys

import pytest

from sagamesh_operator import probes
from sagamesh_operator.metrics import OperatorMetrics
from sagamesh_tools.chart import CHART


async def judge(*, connected: bool, problem: str) -> tuple[int, str]:
    """How the test ends, and what it says."""
    metrics = OperatorMetrics(connected=lambda: connected, behind=lambda: 0.0)
    async with probes.serving(
        "127.0.0.1", 0, metrics=metrics.exposition, alive=lambda: "", ready=lambda: problem
    ) as url:
        program = (sys.executable, CHART / "files" / "installed.py", url.removeprefix("http://"))
        process = await asyncio.create_subprocess_exec(*program, stdout=-1, stderr=-2)
        said, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, said.decode()


@pytest.mark.parametrize(
    ("connected", "problem", "code", "words"),
    [
        (True, "", 0, "NATS: connected"),
        (False, "", 1, "NATS does not answer the operator"),
        (True, "the Sagas were not listed yet", 1, "503"),
    ],
)
def test_an_installation_is_judged(connected: bool, problem: str, code: int, words: str) -> None:
    ended, said = asyncio.run(judge(connected=connected, problem=problem))
    assert ended == code, said
    assert words in said
