"""Files that change while `sagamesh dev` runs: new revisions, what is wrong with them, halves of them.

Decisions alone, without a process: tests/unit/sagamesh_cli/local/test_reloading.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import nats
from support.builders.documents import small
from support.fakes.scripted_app import Call, ScriptedApp, http, scripted
from support.processes.command import Dev, dev
from support.processes.shared import PlayOn, shared

SAGAS = {
    "a": small("/before", "a"),
    "b": small("/before", "b", "duo"),
    "small": small("/before"),
    "halves": small("/before", "halves", "absent"),
    "hands": small(name="hands", then="duo"),
}
NOWHERE = "http://127.0.0.1:9"


@dataclass(kw_only=True)
class Desk:
    """A `dev` of several sagas, each in a file of its own, and their app. `held`: whose first call waits."""

    running: Dev
    app: ScriptedApp
    files: dict[str, Path]
    held: dict[str, asyncio.Event]

    def revisions(self, saga: str) -> int:
        """How often it was told that new instances of the saga take a revision."""
        return f"\n{self.running.said}".count(f"\n{saga}: new instances take revision ")

    def complaints(self) -> int:
        return self.running.complained.count("the files changed, but the old revisions stay: ")

    async def start(self, saga: str, instance: str, by: str = "solo") -> Any:
        """The instance, once it is finished."""
        started = await self.running.start(by, f"{saga}.asked", {"id": instance}, "?wait=20s")
        [entry] = started.body["instances"]
        assert entry["saga"] == saga
        return entry["instance"]

    async def until_revision(self, saga: str, prefix: str, old: str, by: str = "solo") -> Any:
        """A finished instance of another revision: sidecars learn of it a moment after it stands in NATS."""
        async with asyncio.timeout(10):
            for number in range(10_000):
                instance = await self.start(saga, f"{prefix}-{number}", by)
                if instance["revision"] != old:
                    return instance
        raise AssertionError("unreachable")


@contextlib.asynccontextmanager
async def desk(directory: Path) -> AsyncIterator[Desk]:
    held: dict[str, asyncio.Event] = {}

    async def script(call: Call) -> bytes:
        if call.path == "/first" and call.instance in held:
            await held[call.instance].wait()
        return http()

    files = {name: directory / f"{name}.yaml" for name in SAGAS}
    for name, file in files.items():
        file.write_text(SAGAS[name])
    async with scripted(script) as app:
        apps = (f"solo={app.url}", f"duo={app.url}", f"absent={NOWHERE}")
        async with dev(directory, *files.values(), *(part for one in apps for part in ("--app", one))) as running:
            yield Desk(running=running, app=app, files=files, held=held)


@pytest.fixture(scope="module")
def play(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlayOn[Desk]]:
    """One desk for all: each test has sagas of its own, and leaves the files as good as they were."""
    with shared(desk(tmp_path_factory.mktemp("desk")), 60) as play:
        yield play


def test_several_files_and_the_namespace_that_they_name(play: PlayOn[Desk]) -> None:
    async def scenario(on: Desk) -> None:
        assert on.running.listens["participants"].keys() == {"solo", "duo", "absent"}
        was = {}
        for participant, saga in (("solo", "a"), ("duo", "b")):
            instance = await on.start(saga, f"of-{saga}", participant)
            assert instance["state"] == "completed"
            keys = [call.headers["idempotency-key"] for call in on.app.calls if call.instance == f"of-{saga}"]
            assert [key.split("/")[:3] for key in keys] == [['"shop', saga, f"of-{saga}"]] * 2
            was[saga] = instance["revision"]
        on.files["b"].write_text(small("/other", "b", "duo"))  # a change of the one leaves the other alone
        await on.running.until(lambda: on.revisions("b") == 2)
        await on.until_revision("b", "b", was["b"], by="duo")
        assert (await on.start("a", "a"))["revision"] == was["a"]
        assert on.revisions("a") == 1

    play(scenario)


def test_a_changed_file_becomes_a_new_revision(play: PlayOn[Desk]) -> None:
    async def scenario(on: Desk) -> None:
        file, app, running = on.files["small"], on.app, on.running
        complaints, complained = on.complaints(), len(running.complained)
        on.held["old"] = asyncio.Event()
        await running.start("solo", "small.asked", {"id": "old"})
        await running.until(lambda: app.paths("old") == ["/first"])
        file.write_text(small("/after"))
        await running.until(lambda: on.revisions("small") == 2)
        new = await on.until_revision("small", "new", (await running.get("solo", "small", "old"))["revision"])
        assert f"small: new instances take revision {new['revision']}\n" in running.said
        # F33: new ones take the new one
        assert app.paths(new["id"]) == ["/first", "/after"]
        on.held["old"].set()
        old = await running.get("solo", "small", "old", "?wait=20s")
        assert old["state"] == "completed"
        assert old["revision"] != new["revision"]
        # F33: Instances that run keep their revision
        # F34: every instance keeps its own for life
        assert app.paths("old") == ["/first", "/before"]

        file.write_text(small("third"))  # what else can be wrong, and by which words, is told without a process
        await running.until(lambda: on.complaints() == complaints + 1)
        assert (await on.start("small", "last-0"))["revision"] == new["revision"]
        file.unlink()
        await running.until(lambda: on.complaints() == complaints + 2)
        assert (await on.start("small", "last-1"))["revision"] == new["revision"]
        for reason in ("must be a path", "there is no file"):
            assert reason in running.complained[complained:]
        file.write_text(small("/before"))  # what was once may come again
        back = await on.until_revision("small", "back", new["revision"])
        # F34: Revisions have no order: an older one that is put back becomes the active one
        assert back["revision"] == old["revision"]
        await running.until(lambda: on.revisions("small") == 3)

    play(scenario)


def test_a_file_that_is_saved_in_two_halves_is_one_change(play: PlayOn[Desk]) -> None:
    """The second half comes as soon as the first one was looked at. A half that stays is told once, and its mending."""

    async def scenario(on: Desk) -> None:
        file, running = on.files["halves"], on.running
        complaints, complained = on.complaints(), running.complained
        whole = small("/after", "halves", "absent")
        half, rest = whole[:300], whole[300:]
        await saved_in_halves(file, half, rest)
        await running.until(lambda: on.revisions("halves") == 2)
        assert running.complained == complained
        file.write_text(half)
        await running.until(lambda: on.complaints() == complaints + 1)
        await saved_in_halves(file, half, rest)
        await running.until(lambda: "the files are good again" in running.said)
        assert on.complaints() == complaints + 1

    play(scenario)


async def saved_in_halves(file: Path, half: str, rest: str) -> None:
    """Write one half, wait until somebody has read the file, and write the other."""
    file.write_text(half)
    libc = ctypes.CDLL(None, use_errno=True)
    inotify = libc.inotify_init1(os.O_NONBLOCK)
    try:
        assert libc.inotify_add_watch(inotify, bytes(file), IN_CLOSE_NOWRITE) > 0
        was_read = asyncio.Event()
        asyncio.get_running_loop().add_reader(inotify, was_read.set)
        async with asyncio.timeout(10):
            await was_read.wait()
        with file.open("a") as end:
            end.write(rest)
    finally:
        asyncio.get_running_loop().remove_reader(inotify)
        os.close(inotify)


IN_CLOSE_NOWRITE = 0x10
"""Of inotify(7): whoever had opened a file to read it has closed it."""


def test_a_participant_that_has_no_part_in_a_new_revision_holds_nothing_up(play: PlayOn[Desk]) -> None:
    """Its consumer still brings what older instances need, of new ones too."""

    async def scenario(on: Desk) -> None:
        revision = (await on.start("hands", "both"))["revision"]
        on.files["hands"].write_text(small(name="hands"))
        found = await on.until_revision("hands", "one", revision)
        assert found["state"] == "completed"
        async with await nats.connect(on.running.listens["nats"]) as client:
            log = client.jetstream()

            async def at_rest() -> bool:
                info = await log.consumer_info("SAGA_shop_hands", "duo")
                return not (info.num_pending or info.num_ack_pending)

            async with asyncio.timeout(10):
                # F33: a participant with no part in it any more holds nothing up
                while not await at_rest():
                    await asyncio.sleep(0.02)

    play(scenario)
