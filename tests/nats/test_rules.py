"""Rules on their way to real sidecars, on a real server: what sidecars tell, what they keep, and what they wait for.

The sidecar is a process where it is killed, and a task of this one where it stops in order.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from dataclasses import replace as with_fields
from pathlib import Path
from typing import Any

import pytest
from msgspec import Raw
from msgspec.structs import replace

import nats
from sagamesh.distribution import buckets
from sagamesh.distribution.heartbeat import Heartbeat
from sagamesh.language.model import Action, Emit, Saga, StartSpec, Step
from sagamesh.log import codec, registers
from sagamesh.log.registers import Instance, Origin
from sagamesh.rules.projection import project
from sagamesh_cli.local.mesh import provision
from sagamesh_cli.local.sidecars import Member, ProcessMember, TaskMember, Urls
from sagamesh_jetstream.client.session import NatsJetStream, connect
from sagamesh_jetstream.upkeep.fleet import Fleet, read_fleet
from sagamesh_sidecar.settings import SidecarSettings
from support.fakes.scripted_app import Call, ScriptedApp, http, scripted
from support.processes.stage import run, until
from support.processes.web import Answer, ask
from support.servers.nats_server import GovernedServer, NatsServer


def saga(path: str) -> Saga:
    step = Step(
        name="first",
        participant="solo",
        after=("asked",),
        action=Action(path=path),
        emits=(Emit(event="done"),),
        read_only=True,
    )
    start = StartSpec(participant="solo", event="asked", key="event.data.id")
    return Saga(namespace="shop", name="small", start=start, steps=(step,))


def revision(saga: Saga) -> str:
    return project(saga)["solo"].revision


OLD, NEW = saga("/old"), saga("/new")


@dataclass
class Place:
    """A server with the rules of `OLD`, and the one participant's sidecar, which keeps its rules on disk."""

    server: NatsServer
    js: NatsJetStream
    app: ScriptedApp
    settings: SidecarSettings
    recruit: Callable[[SidecarSettings], Member]
    member: Member = field(init=False)
    urls: Urls = field(init=False)

    async def restart(self) -> None:
        """Stop the sidecar in order, and start it on the same ports and disk."""
        await self.end()
        await self.begin()

    async def end(self) -> None:
        await self.member.stop()

    async def begin(self) -> None:
        self.member = self.recruit(self.settings)
        self.urls = await self.member.start()
        api, health = (int(url.rpartition(":")[2]) for url in (self.urls.api, self.urls.health))
        self.settings = with_fields(self.settings, api_port=api, health_port=health)

    async def start(self, key: str, query: str = "") -> Answer:
        document = {"specversion": "1.0", "id": key, "source": "/test", "type": "asked", "data": {"id": key}}
        return await ask("POST", f"{self.urls.api}/v1/events{query}", document, "application/cloudevents+json")

    async def carry_out(self, key: str) -> str:
        """Start an instance; the path of the app that it called."""
        answer = await self.start(key, "?wait=20s")
        assert answer.body["instances"][0]["instance"]["state"] == "completed", answer.text
        [path] = self.app.paths(key)
        return path

    async def told(self, enough: Callable[[tuple[Heartbeat, ...]], bool]) -> tuple[Heartbeat, ...]:
        """What live sidecars have told, once it is enough."""
        async with asyncio.timeout(10):
            while not enough(live := (await self.fleet()).of("shop", "solo")):
                await asyncio.sleep(0.02)
        return live

    async def fleet(self) -> Fleet:
        return await read_fleet(self.js)

    async def ready(self) -> int:
        return (await ask("GET", f"{self.urls.health}/readyz")).status


@contextlib.asynccontextmanager
async def place(
    directory: Path,
    kind: type[NatsServer] = NatsServer,
    recruit: Callable[[SidecarSettings], Member] = TaskMember,
) -> AsyncIterator[Place]:
    async def well(_: Call) -> bytes:
        return http()

    async with contextlib.AsyncExitStack() as stack:
        server = stack.enter_context(kind(directory / "nats"))
        await provision(server.url, [OLD])
        app = await stack.enter_async_context(scripted(well))
        given: dict[str, Any] = {
            "namespace": "shop",
            "participant": "solo",
            "pod": "solo.local",
            "nats": server.participants_url,
            "app": app.url,
            "api_port": 0,
            "health_host": "127.0.0.1",
            "health_port": 0,
            "state_dir": str(directory / "state"),
        }
        js = await stack.enter_async_context(connect(server.url))
        on = Place(server, js, app, SidecarSettings(**given), recruit)
        stack.push_async_callback(on.end)
        await on.begin()
        yield on


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What a sidecar logs, as much as it would as a process."""
    caplog.set_level("INFO")
    return caplog


def test_a_sidecar_tells_what_it_holds_from_its_start_to_its_end(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with place(tmp_path) as on:
            [first] = await on.told(lambda live: any(one.starts for one in live))
            holds = {"small": (revision(OLD),)}
            expected = Heartbeat(
                namespace="shop", participant="solo", pod="solo.local", holds=holds, starts={"small": revision(OLD)}
            )
            assert first == expected
            await provision(on.server.url, [NEW])
            [second] = await on.told(lambda live: any(one.starts["small"] != revision(OLD) for one in live))
            holds, starts = {"small": (revision(OLD), revision(NEW))}, {"small": revision(NEW)}
            assert second == replace(first, holds=holds, starts=starts)
            assert (await on.fleet()).count("shop", "solo", "small", revision(NEW)) == (1, 1)
            await on.end()
            assert (await on.fleet()).of("shop", "solo") == ()

    run(scenario())


def test_steps_without_an_app_are_told_and_wait_for_one(tmp_path: Path, log: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with place(tmp_path) as on:
            app = on.settings.app
            on.settings = with_fields(on.settings, app="")
            await on.restart()
            await until(lambda: any(record.message == "there is no app" for record in log.records), 10)
            [told] = [record for record in log.records if record.message == "there is no app"]
            assert (told.levelname, told.saga, told.steps) == ("ERROR", "small", "first")  # type: ignore[attr-defined]
            assert (await on.start("i-1")).status == 202
            async with asyncio.timeout(10):
                while (said := await ask("GET", f"{on.urls.health}/readyz")).status == 200:
                    await asyncio.sleep(0.02)
            assert said.text.startswith(
                "the steps of small wait: the sidecar was given no app to call; set SAGAMESH_APP"
            )
            on.settings = with_fields(on.settings, app=app)
            await on.restart()
            assert await on.carry_out("i-1") == "/old"
            assert await on.ready() == 200

    run(scenario())


def test_a_sidecar_that_died_or_lost_the_server_tells_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with place(tmp_path, recruit=lambda settings: ProcessMember(settings, tmp_path)) as on:
            assert isinstance(on.member, ProcessMember)
            await on.told(lambda live: any(one.starts for one in live))
            [subject] = (await on.js.api(STATE, {"subjects_filter": ">"}))["state"]["subjects"]
            assert subject == buckets.heartbeat_subject("shop", "solo", "solo.local")
            await on.js.api(f"STREAM.PURGE.{SIDECARS}")
            assert await on.member.kill() == -signal.SIGKILL
            on.urls = await on.member.revived()
            await on.told(lambda live: any(one.starts for one in live))
            await on.js.api(f"STREAM.PURGE.{SIDECARS}")
            on.server.stop()
            on.server.start()
            async with connect(on.server.url) as on.js:
                await on.told(lambda live: any(one.starts for one in live))

    run(scenario())


SIDECARS = buckets.SIDECARS_STREAM
STATE = f"STREAM.INFO.{SIDECARS}"
RULES = buckets.RULES_STREAM


def test_a_sidecar_without_the_bucket_of_heartbeats_works_as_well(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with place(tmp_path) as on:
            await on.js.api(f"STREAM.DELETE.{SIDECARS}")
            await on.restart()
            assert await on.carry_out("i-1") == "/old"
            assert await on.ready() == 200

    run(scenario())


class Silent(GovernedServer):
    """Sidecars may not tell anything of themselves here."""

    denied = (buckets.bucket_keys(buckets.SIDECARS_BUCKET),)


def test_a_sidecar_that_may_not_tell_anything_works_as_well(tmp_path: Path, log: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with place(tmp_path, Silent) as on:
            assert await on.carry_out("i-1") == "/old"
            assert (await on.fleet()).of("shop", "solo") == ()
            assert await on.ready() == 200
            assert "holds rules" in log.messages
            assert "ermissions" not in log.text

    run(scenario())


def test_a_sidecar_that_starts_without_the_rules_bucket_has_the_rules_of_before(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with place(tmp_path) as on:
            await until((tmp_path / "state" / "rules").exists)
            await on.js.api(f"STREAM.DELETE.{RULES}")
            await on.restart()
            # F31: with a disk of its own (`SAGAMESH_STATE_DIR`) a sidecar starts even without the rules bucket
            assert await on.ready() == 200
            assert await on.carry_out("i-1") == "/old"
            await on.js.api(f"STREAM.CREATE.{RULES}", buckets.rules_bucket())  # anew, by hand, and empty
            assert await on.carry_out("i-2") == "/old"
            await on.js.api(f"STREAM.DELETE.{RULES}")
            await provision(on.server.url, [NEW])
            await on.told(lambda live: any(one.starts == {"small": revision(NEW)} for one in live))
            assert await on.carry_out("i-3") == "/new"

    run(scenario())


def test_a_copy_that_is_damaged_is_as_none(tmp_path: Path, log: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with place(tmp_path) as on:
            kept = tmp_path / "state" / "rules"
            await until(kept.exists)
            whole = kept.read_bytes()
            await on.end()
            kept.write_bytes(whole[:-7])
            await on.begin()
            assert "the copy of the rules on disk cannot be used" in log.text
            # F35: a damaged copy on disk, counts as none
            assert await on.carry_out("i-1") == "/old"
            await until(lambda: kept.read_bytes() == whole)

    run(scenario())


def test_a_delivery_whose_revision_is_not_here_is_held_until_it_comes(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with place(tmp_path) as on:
            instance = Instance("shop", "small", "i-1")
            start = registers.Start("asked", "i-1", "/test", "digest", Raw(b'{"id":"i-1"}'))
            origin = Origin("r-1", 0, 0.0, revision(NEW), "solo-2", "a-1")  # of a replica that knows more
            headers, body = codec.encode(registers.START, start, origin, "solo")
            async with await nats.connect(on.server.url) as client:
                await client.jetstream().publish(instance.subject(registers.START), body, headers=headers)
            consumer = f"CONSUMER.INFO.{instance.stream}.solo"
            async with asyncio.timeout(10):
                while not (await on.js.api(consumer))["num_redelivered"]:
                    await asyncio.sleep(0.02)
            assert on.app.paths("i-1") == []
            # F36: A delivery whose revision is not here yet is held
            assert (await on.js.api(consumer))["num_ack_pending"] == 1
            await provision(on.server.url, [NEW])
            answer = await ask("GET", f"{on.urls.api}/v1/sagas/small/i-1?wait=20s")
            # F36: it is carried out as soon as the document comes
            assert answer.body["state"] == "completed"
            assert on.app.paths("i-1") == ["/new"]

    run(scenario())
