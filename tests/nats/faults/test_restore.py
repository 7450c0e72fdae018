"""The log is put back as it was a while ago, as docs/operations.md says; the services have gone on since then."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from sagamesh_cli.local.mesh import provision
from support.builders.orders import MEALS, Orders, conclude, mixed, place, slow_kitchen, under_way
from support.processes.stage import Stage, run, stage, until


async def put_back(on: Stage, backup: Path) -> None:
    """Nobody runs meanwhile; afterwards consumers are made again, as after a restore without them."""
    await on.dismiss()
    on.sidecars.clear()
    on.urls.clear()
    on.server.stop()
    shutil.rmtree(on.server.directory)
    shutil.copytree(backup, on.server.directory)
    on.server.start()
    for name in await on.consumers():
        await on.api(f"CONSUMER.DELETE.{on.stream}.{name}")
    await provision(on.server.url, [on.saga])
    await asyncio.gather(*(on.scale(name, 1) for name in on.services))
    await until(lambda: on.log.connected)


async def written(on: Stage, orders: Orders) -> dict[str, list[float]]:
    """When each register of each of these was written, by the server's time."""
    return {key: [each.time for each in (await on.registers(key)).values()] for key in orders}


@pytest.mark.of_its_kind
def test_f60_the_log_is_restored_from_an_older_backup(tmp_path: Path, full: bool) -> None:
    """What was open comes to the same end, with no second effect; of what was started since only the apps know."""

    async def scenario() -> None:
        async with stage(MEALS, tmp_path, **slow_kitchen(full)) as on:
            old, later = await under_way(on, "old"), mixed("later", 6)
            on.server.stop()
            backup = Path(shutil.copytree(on.server.directory, tmp_path / "backup"))
            on.server.start()
            await conclude(on, old)
            await place(on, later)
            await conclude(on, later)
            tables, first = on.tables(), await written(on, old)
            await put_back(on, backup)
            # F60: what was started since is known to the apps alone
            assert set(map(tuple, (await written(on, later)).values())) == {()}
            # F60: comes to the same end
            await conclude(on, old)
            # F60: What was open in the backup is carried out again
            assert await written(on, old) != first, "nothing was open in the backup"
            # F60: under the same keys
            # F60: with no second effect, where apps have recorded what decided it
            assert on.tables() == tables

    run(scenario(), 120.0)
