"""`sagamesh dev` as its user has it: a process, services beside it, and an end in order.

Files that change while it runs: `test_dev_files`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sagamesh_cli.local.example_services import ExampleService, example
from sagamesh_cli.local.nats_server import EmbeddedServer
from sagamesh_sidecar.web.server import _is_here
from support.builders.documents import small
from support.fakes.scripted_app import Call, ScriptedApp, http, scripted
from support.processes.command import Command, Dev, dev, relatives
from support.processes.stage import run
from support.processes.web import ask
from support.servers.ports import reserve

CREDIT = example("01-customers-and-orders")
SAGA = CREDIT / "saga.yaml"
ALICE = {"orderId": "o-1", "customerId": "alice", "total": 300}
BOB = {"orderId": "o-2", "customerId": "bob", "total": 300}
END = signal.SIGTERM if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else signal.SIGHUP
"""The end of the terminal; where these tests run under `nohup`, that means nothing."""


def written(file: Path, text: str) -> Path:
    file.write_text(text)
    return file


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
    """Its ready file comes last and whole. It is another file than the one that a `dev` that was killed had left."""

    async def scenario() -> None:
        (tmp_path / "ready.json").write_text("{}")
        async with shop(tmp_path) as running:
            assert "start one:" in running.said
            assert list(tmp_path.glob("*.half")) == []
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
            await running.stop(END)
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


@pytest.mark.parametrize("options", [(), ("--processes",)], ids=["tasks", "processes"])
def test_what_fails_is_told_at_once(tmp_path: Path, options: tuple[str, ...]) -> None:
    """Which service does not answer at the start, and the first call that fails, with what the service says."""

    async def answered(call: Call) -> bytes:
        return http(500, b'{"detail": "boom"}')

    async def scenario() -> None:
        with reserve() as port:
            url = f"http://127.0.0.1:{port.getsockname()[1]}"
            saga = written(tmp_path / "a.yaml", small())
            async with dev(tmp_path, saga, "--app", f"solo={url}", *options) as running:
                silent = f"sagamesh: the service of solo does not answer at {url}: its steps wait until it does\n"
                await running.until(lambda: running.complained == silent)
                for host in ("127.0.0.1", "localhost", "[::1]")[: 3 if _is_here("::1") else 2]:
                    api = f"http://{host}:{running.api('solo').rpartition(':')[2]}"
                    assert (await ask("GET", f"{api}/v1/sagas/small/i-1")).status == 404, "it listens there, too"
                assert (await running.start("solo", "small.asked", {"id": "i-1"})).status == 202
                async with await asyncio.start_server(
                    ScriptedApp(answered).serve, "127.0.0.1", port.getsockname()[1], reuse_port=True
                ):
                    said = "  solo: a call failed, and is made again (i-1, first, POST /first answered 500: boom)\n"
                    await running.until(lambda: said in running.complained)
                    await running.stop()

    run(scenario())


def test_what_there_was_is_kept_when_the_server_dies_and_when_the_run_ends(tmp_path: Path) -> None:
    async def scenario() -> None:
        kept = ("--state", tmp_path / "state")
        async with shop(tmp_path, *kept) as running:
            first = await order(running, ALICE)
            [pid] = [pid for pid, command in relatives(running.mark).items() if "nats-server" in command]
            os.kill(pid, signal.SIGKILL)
            await running.until(lambda: "nats-server ended; it is started again" in running.complained)
            await running.until(lambda: len(relatives(running.mark)) == 2)
            assert (await order(running, BOB))["state"] == "compensated"
            assert await running.get("customers", "customers-and-orders", "o-1") == first
            await running.stop(signal.SIGTERM)
        async with shop(tmp_path, *kept) as running:
            assert await running.get("orders", "customers-and-orders", "o-1") == first
            again = await running.start("orders", "order.placed", ALICE)
            assert (again.status, again.body["instances"][0]["run"]) == (200, first["run"])
            assert (await order(running, BOB | {"orderId": "o-3"}))["state"] == "compensated"

    run(scenario())


def test_a_saga_goes_on_where_a_run_at_a_server_that_was_there_already_had_left_it(tmp_path: Path) -> None:
    """The next run has the first one's server's disk for its own."""

    async def scenario() -> None:
        held = asyncio.Event()

        async def script(call: Call) -> bytes:
            return http(200 if held.is_set() or call.path == "/first" else 503)

        async with scripted(script) as app:
            options = (written(tmp_path / "a.yaml", small()), "--app", f"solo={app.url}")
            with EmbeddedServer(tmp_path / "state" / "nats") as server:
                async with dev(tmp_path, *options, "--nats", server.url) as running:
                    assert running.listens["nats"] == server.url
                    assert (await running.start("solo", "small.asked", {"id": "i-1"})).status == 202
                    await running.until(lambda: "/second" in app.paths("i-1"))
                    assert len(relatives(running.mark)) == 1
                    await running.stop()
                assert server.running
            held.set()
            async with dev(tmp_path, *options, "--state", tmp_path / "state") as running:
                found = await running.get("solo", "small", "i-1", "?wait=20s")
                assert found["state"] == "completed"
                assert app.paths("i-1").count("/first") == 1

    run(scenario())


def test_who_only_starts_sagas_needs_no_service(tmp_path: Path) -> None:
    async def scenario() -> None:
        async def script(_: Call) -> bytes:
            return http()

        async with scripted(script) as app:
            text = small().replace("start: {participant: solo", "start: {participant: frontdesk")
            assert "frontdesk" in text
            saga = written(tmp_path / "a.yaml", text)
            async with dev(tmp_path, saga, "--app", f"solo={app.url}") as running:
                assert "no app: it only starts sagas" in running.said
                answer = await running.start("frontdesk", "small.asked", {"id": "i-1"}, "?wait=20s")
                assert answer.body["instances"][0]["instance"]["state"] == "completed"
                assert app.paths("i-1") == ["/first", "/second"]
                for url in running.listens["health"].values():
                    assert (await ask("GET", f"{url}/readyz")).status == 200

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
            options = (written(tmp_path / "a.yaml", small()), "--app", "solo=http://127.0.0.1:9", "--nats", url)
            with Command(tmp_path, "dev", *options) as starting:
                await asked.wait()
                starting.send(signal.SIGINT)
                assert await starting.ended(5) == 130
                assert starting.said + starting.complained == ""

    run(scenario())
