"""Example 04 by its own driver: whatever is killed, hangs or is refused, no money is lost or made, nothing is stuck."""

from __future__ import annotations

import re
from pathlib import Path

from sagamesh_cli.local.example_services import example
from support.processes.command import Command
from support.processes.stage import run

DRIVER = example("04-money-transfer") / "transfers.py"


def test_no_money_is_lost_or_made(tmp_path: Path, full: bool, report: list[str]) -> None:
    number = 1000 if full else 100

    async def scenario() -> None:
        with Command(
            tmp_path, DRIVER, "--transfers", number, program="python", TMPDIR=str(tmp_path), PYTHONDONTWRITEBYTECODE="1"
        ) as driver:
            assert await driver.ended(150) == 0, driver.said + driver.complained
            said = driver.said
        assert driver.complained == ""
        for victim in ("service of south", "sidecar of north"):
            gone = re.search(rf"(\d+) finished  kill -9: the {victim} is gone \(exit status -9\)", said)
            assert gone is not None, said
            assert int(gone[1]) < number, "in the middle"
            assert f"the {victim} is back" in said
        assert re.search(r"^sum +100,000 +100,000$", said, re.MULTILINE), said
        assert re.search(r"^on the way +0 +0$", said, re.MULTILINE), said
        ends = re.search(rf"{number} transfers: (\d+) completed, (\d+) compensated, 0 stuck", said)
        assert ends is not None, said
        completed, compensated = map(int, ends.groups())
        assert completed + compensated == number
        assert completed > compensated
        assert "ACCOUNT_CLOSED" in said
        assert "INSUFFICIENT_FUNDS" in said
        assert re.search(r"^[1-9]\d* calls hung", said, re.MULTILINE), said
        assert "sum unchanged, books balanced" in said
        assert list(tmp_path.glob("sagamesh-*")) == []
        finished = re.search(r"([\d.]+ s) .* that was all", said)
        assert finished is not None
        report.append(f"{ends[0]}, a service and a sidecar killed, {finished[1]}")

    run(scenario(), 170)
