"""`sagamesh dev` as its user has it: a process, services beside it, files that change, and an end in order."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import nats
from sagamesh_cli.local.example_services import ExampleService, example
from sagamesh_cli.local.nats_server import EmbeddedServer
from support.fakes.scripted_app import Call, http, scripted
from support.processes.command import Command, Dev, dev, relatives
from support.processes.stage import run
from support.processes.web import ask

CREDIT = example("01-customers-and-orders")
SAGA = CREDIT / "saga.yaml"
ALICE = {"orderId": "o-1", "customerId": "alice", "total": 300}
BOB = {"orderId": "o-2", "customerId": "bob", "total": 300}

SMALL = """
apiVersion: sagamesh.dev/v1alpha1
kind: Saga
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  start: {{participant: {participant}, event: asked, key: event.data.id}}
  steps:
    - {{name: first, participant: {participant}, on: [asked], readOnly: true, action: {{path: /first, timeout: 30s}}}}
    - {{name: second, participant: {participant}, on: [first.done], readOnly: true, action: {{path: {path}}}}}
"""


def small(file: Path, path: str = "/second", name: str = "small", namespace: str = "shop", by: str = "solo") -> Path:
    file.write_text(SMALL.format(name=name, namespace=namespace, path=path, participant=by))
    return file


async def well(call: Call) -> bytes:
    return http()


@contextlib.asynccontextmanager
async def shop(directory: Path, *options: object) -> AsyncIterator[Dev]:
    """Example 01 with its services."""
    async with contextlib.AsyncExitStack() as stack:
        services = [ExampleService(CREDIT, name, directory) for name in ("orders", "customers")]
        for service in services:
            stack.push_async_callback(service.stop)
        apps = await asyncio.gather(*(service.start() for service in services))
        named = [part for s, url in zip(services, apps, strict=True) for part in ("--app", f"{s.name}={url}")]
        yield await stack.enter_async_context(dev(directory, SAGA, *named, *options))


async def order(running: Dev, data: dict[str, Any]) -> Any:
    """The instance, once it is finished."""
    answer = await running.start("orders", "order.placed", data, "?wait=20s")
    assert answer.status in (200, 202), answer.text
    return answer.body["instances"][0]["instance"]


def sidecars(running: Dev) -> dict[str, int]:
    """The processes of the sidecars, by participant."""
    pids = {}
    for pid, command in relatives(running.mark).items():
        if "sagamesh_sidecar" in command:
            with contextlib.suppress(OSError):  # it has just ended
                environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
                pids |= {v[21:].decode(): pid for v in environment if v.startswith(b"SAGAMESH_PARTICIPANT=")}
    return pids


def test_a_run_from_ready_to_its_end(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with shop(tmp_path) as running:
            listens = running.listens
            assert listens.keys() == {"nats", "participants", "health"}
            assert listens["nats"].startswith("nats://127.0.0.1:")
            assert listens["participants"].keys() == listens["health"].keys() == {"orders", "customers"}
            for url in listens["health"].values():
                assert (await ask("GET", f"{url}/readyz")).status == 200
            assert (await order(running, ALICE))["state"] == "completed"
            assert (await order(running, BOB))["state"] == "compensated"
            assert (await running.get("customers", "customers-and-orders", "o-1"))["state"] == "completed"
            assert len(relatives(running.mark)) == 2, "itself and the server: sidecars are no processes"
            assert lines_of(running, "o-1") == [
                ["started", "order.placed"],
                ["create-order", "done", "order.created"],
                ["reserve-credit", "done", "credit.reserved"],
                ["approve-order", "done", "order.approved"],
                ["committed"],
                ["completed"],
            ]
            assert ["aborted", "reserve-credit:", "INSUFFICIENT_CREDIT"] in lines_of(running, "o-2")
            assert ["create-order", "undone"] in lines_of(running, "o-2")
            await running.stop()
            assert running.complained == ""

    run(scenario())


def lines_of(running: Dev, instance: str) -> list[list[str]]:
    """The live lines of an instance: what follows its id, without the revision."""
    words = [line.split() for line in running.said.splitlines()]
    return [rest for _, of, *rest in (line for line in words if len(line) > 2) if of == instance and trim(rest)]


def trim(words: list[str]) -> bool:
    if words[-1].startswith("("):
        words.pop()
    return True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_ready_file_comes_last_and_whole(number: int, tmp_path: Path) -> None:
    """It is another file than the one before, which a `dev` that was killed had left."""

    async def scenario() -> None:
        (tmp_path / "ready.json").write_text("{}")
        with Dev(tmp_path, small(tmp_path / "a.yaml"), "--app", "solo=http://127.0.0.1:9") as running:
            await running.until(lambda: running.ready_file.exists() and running.ready_file.read_text() != "{}")
            assert "start one:" in running.said
            await running.ready()
            assert (await ask("GET", f"{running.listens['health']['solo']}/readyz")).status == 200
            assert list(tmp_path.glob("*.half")) == []
            await running.stop(number)

    run(scenario())


def test_sidecars_as_processes_come_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with shop(tmp_path, "--processes") as running:
            before = sidecars(running)
            assert before.keys() == {"orders", "customers"}
            assert (await order(running, ALICE))["state"] == "completed"
            os.kill(before["customers"], signal.SIGKILL)
            assert (await order(running, BOB))["state"] == "compensated"
            after = sidecars(running)
            assert after["orders"] == before["orders"]
            assert after["customers"] != before["customers"]
            assert (await running.get("customers", "customers-and-orders", "o-2"))["state"] == "compensated"
            assert (await ask("GET", f"{running.listens['health']['customers']}/readyz")).status == 200
            os.kill(after["orders"], signal.SIGKILL)  # an end in the middle of a restart leaves nothing either
            await running.until(lambda: sidecars(running).get("orders") != after["orders"])
            await running.stop(signal.SIGTERM)

    run(scenario())


def test_a_server_that_dies_comes_back_with_what_it_had(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with shop(tmp_path) as running:
            first = await order(running, ALICE)
            [pid] = [pid for pid, command in relatives(running.mark).items() if "nats-server" in command]
            os.kill(pid, signal.SIGKILL)
            await running.until(lambda: "nats-server ended; it is started again" in running.complained)
            await running.until(lambda: len(relatives(running.mark)) == 2)
            assert (await order(running, BOB))["state"] == "compensated"
            assert await running.get("customers", "customers-and-orders", "o-1") == first
            await running.stop()

    run(scenario())


def test_a_server_that_is_there_already(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with scripted(well) as app:
            with EmbeddedServer(tmp_path / "nats") as server:
                options = (small(tmp_path / "a.yaml"), "--app", f"solo={app.url}", "--nats", server.url)
                async with dev(tmp_path, *options) as running:
                    assert running.listens["nats"] == server.url
                    await running.start("solo", "asked", {"id": "i-1"})
                    assert len(relatives(running.mark)) == 1
                    await running.stop()
                assert server.running
                async with dev(tmp_path, *options) as running:
                    assert (await running.get("solo", "small", "i-1", "?wait=20s"))["state"] == "completed"

    run(scenario())


def test_a_start_that_is_interrupted(tmp_path: Path) -> None:
    """Here by nobody less patient than a user whose server does not answer."""

    async def scenario() -> None:
        asked = asyncio.Event()

        async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            asked.set()
            await reader.read()
            writer.close()

        silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
        async with silent:
            url = f"nats://127.0.0.1:{silent.sockets[0].getsockname()[1]}"
            options = (small(tmp_path / "a.yaml"), "--app", "solo=http://127.0.0.1:9", "--nats", url)
            with Command(tmp_path, "dev", *options) as starting:
                await asked.wait()
                starting.send(signal.SIGINT)
                assert await starting.ended(5) == 130
                assert starting.said + starting.complained == ""

    run(scenario())


def test_state_that_is_kept(tmp_path: Path) -> None:
    async def scenario() -> None:
        kept = ("--state", tmp_path / "state")
        async with shop(tmp_path, *kept) as running:
            first = await order(running, ALICE)
            with Command(tmp_path, "dev", SAGA, "--app", "orders=http://127.0.0.1:9", *kept, *CUSTOMERS) as second:
                assert await second.ended() == 3
                assert second.said == ""
                assert second.complained.count("\n") == 1
                assert f"{tmp_path / 'state' / 'nats'} is in use" in second.complained
            await running.stop(signal.SIGTERM)
        async with shop(tmp_path, *kept) as running:
            assert await running.get("orders", "customers-and-orders", "o-1") == first
            again = await running.start("orders", "order.placed", ALICE)
            assert (again.status, again.body["instances"][0]["run"]) == (200, first["run"])
            assert (await order(running, BOB))["state"] == "compensated"

    run(scenario())


CUSTOMERS = ("--app", "customers=http://127.0.0.1:9")


def test_a_saga_goes_on_where_the_last_run_had_left_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        held = asyncio.Event()

        async def script(call: Call) -> bytes:
            return http(200 if held.is_set() or call.path == "/first" else 503)

        async with scripted(script) as app:
            options = (small(tmp_path / "a.yaml"), "--app", f"solo={app.url}", "--state", tmp_path / "state")
            async with dev(tmp_path, *options) as running:
                assert (await running.start("solo", "asked", {"id": "i-1"})).status == 202
                await running.until(lambda: "/second" in app.paths("i-1"))
                await running.stop()
            held.set()
            async with dev(tmp_path, *options) as running:
                found = await running.get("solo", "small", "i-1", "?wait=20s")
                assert found["state"] == "completed"
                assert app.paths("i-1").count("/first") == 1

    run(scenario())


def test_several_files_and_the_namespace_that_they_name(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with scripted(well) as app:
            files = [small(tmp_path / f"{name}.yaml", name=name, by=by) for name, by in (("a", "solo"), ("b", "duo"))]
            async with dev(tmp_path, *files, "--app", f"solo={app.url}", "--app", f"duo={app.url}") as running:
                assert running.listens["participants"].keys() == {"solo", "duo"}
                for participant, saga in (("solo", "a"), ("duo", "b")):
                    started = await running.start(participant, "asked", {"id": f"of-{saga}"}, "?wait=20s")
                    [entry] = started.body["instances"]
                    assert (entry["saga"], entry["instance"]["state"]) == (saga, "completed")
                    keys = [call.headers["idempotency-key"] for call in app.calls if call.instance == f"of-{saga}"]
                    assert [key.split("/")[:3] for key in keys] == [['"shop', saga, f"of-{saga}"]] * 2
                small(files[1], "/other", name="b", by="duo")  # a change of the one leaves the other alone
                await running.until(lambda: running.said.count("b: new instances take revision") == 2)
                was = [(await running.get(*one))["revision"] for one in (("solo", "a", "of-a"), ("duo", "b", "of-b"))]
                await until_revision(running, "new", was[1], by="duo")
                again = await running.start("solo", "asked", {"id": "new"}, "?wait=20s")
                assert again.body["instances"][0]["instance"]["revision"] == was[0]

    run(scenario())


def test_a_changed_file_becomes_a_new_revision(tmp_path: Path) -> None:
    async def scenario() -> None:
        held = asyncio.Event()

        async def script(call: Call) -> bytes:
            if call.instance == "old" and call.path == "/first":
                await held.wait()
            return http()

        async with scripted(script) as app:
            file = small(tmp_path / "a.yaml", "/before")
            async with dev(tmp_path, file, "--app", f"solo={app.url}") as running:
                await running.start("solo", "asked", {"id": "old"})
                await running.until(lambda: app.paths("old") == ["/first"])
                small(file, "/after")
                await running.until(lambda: running.said.count("small: new instances take revision") == 2)
                new = await until_revision(running, "new", (await running.get("solo", "small", "old"))["revision"])
                assert f"small: new instances take revision {new['revision']}\n" in running.said
                assert app.paths(new["id"]) == ["/first", "/after"]
                held.set()
                old = await running.get("solo", "small", "old", "?wait=20s")
                assert old["state"] == "completed"
                assert old["revision"] != new["revision"]
                assert app.paths("old") == ["/first", "/before"]

                for number, wrong in enumerate(WRONG):
                    file.write_text(wrong)
                    await running.until(lambda number=number: complaints(running) > number)
                    last = await running.start("solo", "asked", {"id": f"last-{number}"}, "?wait=20s")
                    assert last.body["instances"][0]["instance"]["revision"] == new["revision"]
                file.unlink()
                await running.until(lambda: complaints(running) > len(WRONG))
                for reason in (
                    "must be a path",
                    "spec.steps must be",
                    "participant duo",
                    "another namespace",
                    "there is no file",
                ):
                    assert reason in running.complained
                small(file, "/before")  # what was once may come again
                await until_revision(running, "back", new["revision"])
                await running.until(lambda: running.said.count("new instances take revision") == 3)
                await running.stop()

    run(scenario())


def test_a_file_that_is_saved_in_two_halves_is_one_change(tmp_path: Path) -> None:
    """The second half comes as soon as the first one was looked at. A half that stays is told once, and its mending."""

    async def scenario() -> None:
        file = small(tmp_path / "a.yaml", "/before")
        whole = SMALL.format(name="small", namespace="shop", path="/after", participant="solo")
        half, rest = whole[:300], whole[300:]
        async with dev(tmp_path, file, "--app", "solo=http://127.0.0.1:9") as running:
            await saved_in_halves(file, half, rest)
            await running.until(lambda: running.said.count("small: new instances take revision") == 2)
            assert running.complained == ""
            file.write_text(half)
            await running.until(lambda: complaints(running) == 1)
            await saved_in_halves(file, half, rest)
            await running.until(lambda: "the files are good again" in running.said)
            await running.stop()
            assert complaints(running) == 1

    run(scenario())


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


WRONG = [
    SMALL.format(name="small", namespace="shop", path="third", participant="solo"),
    "apiVersion: sagamesh.dev/v1alpha1\nkind: Saga\nmetadata: {name: small, namespace: shop}\nspec: {}\n",
    SMALL.format(name="small", namespace="shop", path="/after", participant="duo"),
    SMALL.format(name="small", namespace="bar", path="/after", participant="solo"),
]


TWO_HANDS = """
apiVersion: sagamesh.dev/v1alpha1
kind: Saga
metadata: {{name: hands, namespace: shop}}
spec:
  start: {{participant: solo, event: asked, key: event.data.id}}
  steps:
    - {{name: first, participant: solo, on: [asked], readOnly: true, action: {{path: /first}}}}
    - {{name: second, participant: {second}, on: [first.done], readOnly: true, action: {{path: /second}}}}
"""


def test_a_participant_that_has_no_part_in_a_new_revision_holds_nothing_up(tmp_path: Path) -> None:
    """Its consumer still brings what older instances need, of new ones too."""

    async def scenario() -> None:
        async with scripted(well) as app:
            apps = ("--app", f"solo={app.url}", "--app", f"duo={app.url}")
            file = tmp_path / "a.yaml"
            file.write_text(TWO_HANDS.format(second="duo"))
            async with dev(tmp_path, file, *apps) as running:
                old = await running.start("solo", "asked", {"id": "old"}, "?wait=20s")
                revision = old.body["instances"][0]["instance"]["revision"]
                file.write_text(TWO_HANDS.format(second="solo"))
                found = await until_revision(running, "new", revision)
                assert found["state"] == "completed"
                async with await nats.connect(running.listens["nats"]) as client:
                    log = client.jetstream()

                    async def at_rest() -> bool:
                        info = await log.consumer_info("SAGA_shop_hands", "duo")
                        return not (info.num_pending or info.num_ack_pending)

                    async with asyncio.timeout(10):
                        while not await at_rest():
                            await asyncio.sleep(0.02)

    run(scenario())


def complaints(running: Dev) -> int:
    return running.complained.count("the files changed, but the old revisions stay: ")


async def until_revision(running: Dev, prefix: str, old: str, by: str = "solo") -> Any:
    """A finished instance of another revision: sidecars learn of it a moment after it stands in NATS."""
    async with asyncio.timeout(10):
        for number in range(10_000):
            started = await running.start(by, "asked", {"id": f"{prefix}-{number}"}, "?wait=20s")
            instance = started.body["instances"][0]["instance"]
            if instance["revision"] != old:
                return instance
    raise AssertionError("unreachable")
