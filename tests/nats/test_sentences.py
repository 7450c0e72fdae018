"""What goes wrong is told in one clear sentence, with the exit code or the problem document for it. Nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from sagamesh_jetstream.client.session import connect
from support.fakes.scripted_app import Call, ScriptedApp, http, scripted
from support.processes.command import Command, Dev, dev
from support.processes.stage import run
from support.processes.web import ask

SAGA = """
apiVersion: sagamesh.dev/v1alpha1
kind: Saga
metadata: {name: trial}
spec:
  parkAfter: 300ms
  start: {participant: shop, event: tried, key: event.data.id}
  steps:
    - name: reserve
      participant: shop
      on: [tried]
      action: {path: /reserve}
      compensation: {path: /release}
    - name: work
      participant: worker
      on: [reserve.done]
      action: {path: /work, body: 'events["tried"].data', <how>}
      compensation: {path: /unwork}
    - name: charge
      participant: worker
      on: [work.done]
      pivot: true
      action: {path: /charge, body: 'events["tried"].data', <how>}
    - name: ship
      participant: worker
      on: [charge.done]
      action: {path: /ship, body: 'events["tried"].data', <how>}
""".replace("<how>", "timeout: 1s, within: 1s, retry: {backoff: 50ms, maxBackoff: 200ms}")
APPS = ("--app", "shop=http://127.0.0.1:9", "--app", "worker=http://127.0.0.1:9")


@pytest.fixture
def saga(tmp_path: Path) -> Path:
    file = tmp_path / "saga.yaml"
    file.write_text(SAGA)
    return file


@pytest.fixture
def busy() -> Iterator[int]:
    """A port where something else listens."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield taken.getsockname()[1]


async def told(directory: Path, *arguments: object, code: int, sentence: str = "", **how: str) -> str:
    """A command that cannot do what it should: what it says about that, in one line (of which this is a part)."""
    with Command(directory, *arguments, **how) as command:
        assert await command.ended() == code, command.complained
        assert command.said == ""
        if sentence:
            assert sentence in command.complained
            assert command.complained.count("\n") == 1
        return command.complained


def tell(directory: Path, *arguments: object, **expected: Any) -> str:
    """The same, where there is nothing else to do."""
    return asyncio.run(told(directory, *arguments, **expected))


# -- a run that cannot start ----------------------------------------------------------------------------------------


def test_a_saga_that_is_wrong(saga: Path, tmp_path: Path) -> None:
    saga.write_text(SAGA.replace("on: [reserve.done]", "on: [reserved]"))
    complaint = tell(tmp_path, "dev", saga, *APPS, code=1)
    assert complaint.startswith(f"sagamesh: {saga} is refused\n{saga}:16: ")
    assert "'reserved'" in complaint
    saga.write_text("a: [")
    assert f"{saga}:1: error while parsing" in tell(tmp_path, "dev", saga, *APPS, code=1)


def test_a_deadline_is_refused_by_name(saga: Path, tmp_path: Path) -> None:
    saga.write_text(SAGA.replace("  parkAfter: 300ms", "  deadline: 15m"))
    complaint = tell(tmp_path, "dev", saga, *APPS, code=1)
    assert f"{saga}:6: error spec.deadline" in complaint
    assert "not built yet" in complaint


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("saga.yaml", "no.yaml", *APPS), "there is no file no.yaml"),
        ((".", *APPS), ". is a directory"),
        (("saga.yaml", *APPS[:2]), "where does the service of worker listen? add --app worker=http://127.0.0.1:PORT"),
        (("saga.yaml", *APPS, "--app", "x=http://127.0.0.1:9"), "--app x=…: no saga has this participant"),
        (("saga.yaml", *APPS, "--api", "x=1"), "--api x=…: no saga has this participant"),
        (("saga.yaml", *APPS, "--api", "shop=70000"), "--api shop=70000: a port is a number"),
        (("saga.yaml", *APPS, "--app", "shop"), "--app shop: write it as in --app payments=http://127.0.0.1:9001"),
        (("saga.yaml", "saga.yaml", *APPS), "the saga 'trial' is there twice"),
        (("saga.yaml", "other.yaml", *APPS), "these sagas are in different namespaces"),
    ],
)
def test_a_usage_that_is_wrong(arguments: tuple[str, ...], sentence: str, saga: Path, tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text(SAGA.replace("name: trial", "name: other, namespace: elsewhere"))
    tell(tmp_path, "dev", *arguments, code=2, sentence=f"sagamesh: {sentence}")


def test_urls_where_nothing_is_and_urls_that_are_none(saga: Path, tmp_path: Path) -> None:
    async def scenario() -> None:
        nowhere = "nats://127.0.0.1:9"
        sentence = f"NATS at {nowhere} cannot be reached"
        await bad("--nats", nowhere, 3, sentence)
        await bad("--app", "shop=nonsense", 2, "--app shop=nonsense: write the service's address with its port")
        await bad("--nats", "nonsense", 2, "--nats nonsense: write the server's address")

    async def bad(option: str, value: str, code: int, sentence: str) -> None:
        await told(tmp_path, "dev", saga, *APPS, option, value, code=code, sentence=f"sagamesh: {sentence}")

    run(scenario())


def test_a_busy_port_of_nats(saga: Path, busy: int, tmp_path: Path) -> None:
    sentence = f"port {busy} on 127.0.0.1 is in use: stop what listens there, or choose another port"
    tell(tmp_path, "dev", saga, *APPS, "--port", busy, code=3, sentence=sentence)


@pytest.mark.parametrize("mode", [(), ("--processes",)])
def test_a_busy_port_of_an_api(mode: tuple[str, ...], saga: Path, busy: int, tmp_path: Path) -> None:
    sentence = f"cannot listen on 127.0.0.1 port {busy}: something else listens there"
    tell(tmp_path, "dev", saga, *APPS, "--api", f"worker={busy}", *mode, code=3, sentence=sentence)


def test_places_that_cannot_be_written(saga: Path, tmp_path: Path) -> None:
    sentence = "--state saga.yaml cannot be used: File exists"
    tell(tmp_path, "dev", saga, *APPS, "--state", "saga.yaml", code=3, sentence=sentence)
    sentence = "--ready-file no/ready.json cannot be written: there is no such directory"
    tell(tmp_path, "dev", saga, *APPS, "--ready-file", "no/ready.json", code=3, sentence=sentence)


# -- a sidecar that cannot start -------------------------------------------------------------------------------------


WHO = {"SAGAMESH_NAMESPACE": "default", "SAGAMESH_PARTICIPANT": "shop"}


@pytest.mark.parametrize("missing", WHO)
def test_a_sidecar_without_settings(missing: str, tmp_path: Path) -> None:
    left = {name: value for name, value in WHO.items() if name != missing}
    sentence = f"sagamesh-sidecar: {missing} is not set"
    tell(tmp_path, program="sagamesh-sidecar", code=2, sentence=sentence, **left)


@pytest.mark.parametrize("port", ["API_PORT", "HEALTH_PORT"])
def test_a_busy_port_of_a_sidecar(port: str, busy: int, tmp_path: Path) -> None:
    ports = {"SAGAMESH_API_PORT": "0", "SAGAMESH_HEALTH_PORT": "0", f"SAGAMESH_{port}": str(busy)}
    sentence = f"port {busy}: something else listens there"
    tell(tmp_path, program="sagamesh-sidecar", code=3, sentence=sentence, **WHO, **ports)


# -- an app that answers nonsense ------------------------------------------------------------------------------------

NONSENSE: Mapping[str, tuple[bytes, str]] = {
    "garbage": (b"\x16\x03\x01 what?\r\n\r\n", "unreadable answer"),
    "no-json": (http(200, b"<html>"), "the body of the 200 answer is"),
    "accepted": (http(202), "202 Accepted: asynchronous steps are not built yet"),
    "huge": (http(200, b'"' + b"x" * (300 << 10) + b'"'), "the body of the answer is over 262144 bytes"),
    "huge-head": (http(200, b"{}", "X-Much: " + "x" * (64 << 10)), "the head of the answer is over"),
    "half": (http(200, b'{"a":', length=100), "the app closed the connection before its answer was complete"),
    "nothing": (b"", "the app closed the connection before its answer was complete"),
    "moved": (http(302, b"", "Location: /other"), "status 302"),
    "forbidden": (http(403, b'{"detail": "not on a Sunday"}'), "not on a Sunday"),
    "teapot": (http(299), "status 299 is not an answer that can be used"),
    "broken": (http(500, b'{"detail": "out of paper"}'), "out of paper"),
    "stranger": (http(200, b"{}", "ce-type: no.such.event"), "no `emits` fits the answer"),
}
REFUSALS = ("moved", "forbidden")  # which the pivot may give, too
FAILING = [*(("work", kind) for kind in NONSENSE), *(("charge", kind) for kind in REFUSALS)]
WAITING = [(at, kind) for at in ("charge", "ship") for kind in NONSENSE if (at, kind) not in FAILING]


@contextlib.asynccontextmanager
async def nonsensical(directory: Path, saga: Path) -> AsyncIterator[tuple[Dev, ScriptedApp, asyncio.Event]]:
    """An app that answers nonsense where the event's data say so, until it is well."""
    is_well = asyncio.Event()

    async def script(call: Call) -> bytes:
        data = call.data if isinstance(call.data, dict) else {}
        sick = call.path == f"/{data.get('at')}" and not is_well.is_set()
        return NONSENSE[data["answer"]][0] if sick else http(200, b'{"from": "app"}')

    async with scripted(script) as app:
        apps = ("--app", f"shop={app.url}", "--app", f"worker={app.url}")
        async with dev(directory, saga, *apps) as running:
            yield running, app, is_well


async def begin(running: Dev, at: str, kind: str) -> None:
    answer = await running.start("shop", "tried", {"id": f"{at}-{kind}", "at": at, "answer": kind})
    assert answer.status == 202, answer.text


async def finished(running: Dev, instance: str) -> Any:
    found = await running.get("worker", "trial", instance, "?wait=25s")
    assert found["finished"], found
    return found


def test_f21_f22_an_app_that_answers_nonsense(saga: Path, tmp_path: Path) -> None:
    """Before the pivot the step fails and the saga is compensated; from the pivot on it parks until the app is well."""

    async def scenario() -> None:
        async with nonsensical(tmp_path, saga) as (running, app, is_well):
            await asyncio.gather(*(begin(running, at, kind) for at, kind in FAILING + WAITING))
            for at, kind in FAILING:
                assert_undone(await finished(running, f"{at}-{kind}"), app, at, kind)
            for at, kind in WAITING:
                await parked(running, f"{at}-{kind}")
            is_well.set()
            for at, kind in WAITING:
                found = await finished(running, f"{at}-{kind}")
                assert (found["state"], found["parked"]) == ("completed", False)
                assert not {"/release", "/unwork"} & {*app.paths(f"{at}-{kind}")}

    run(scenario())


def assert_undone(found: Any, app: ScriptedApp, at: str, kind: str) -> None:
    assert found["state"] == "compensated", found
    step = next(step for step in found["steps"] if step["name"] == at)
    reason = NONSENSE[kind][1]
    assert reason in step["reason"], (kind, step)
    assert reason in found["cause"]["reason"]
    assert found["cause"]["kind"] == ("refused" if kind in REFUSALS else "unknown")
    assert app.paths(f"{at}-{kind}")[-2:] == ["/unwork", "/release"]  # for whoever answers nonsense may have acted


async def parked(running: Dev, instance: str) -> None:
    async with asyncio.timeout(20):
        while not (found := await running.get("worker", "trial", instance))["parked"]:
            await asyncio.sleep(0.05)
    assert found["state"] == "running"
    assert found["finished"] is None


# -- an API that refuses ---------------------------------------------------------------------------------------------


async def stored(running: Dev) -> int:
    """How many messages are in the saga's stream."""
    async with connect(running.listens["nats"]) as stream:
        return int((await stream.api("STREAM.INFO.SAGA_default_trial"))["state"]["last_seq"])


def test_what_the_api_refuses(saga: Path, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with nonsensical(tmp_path, saga) as (running, app, _):
            big = {"id": "big", "text": "x" * (256 << 10)}
            refused = await running.start("shop", "tried", big)
            assert (refused.status, refused.body["code"]) == (413, "too-large")
            for participant, event, code in (
                ("shop", "heard", "nobody-listens"),
                ("worker", "tried", "nobody-listens"),
            ):
                refused = await running.start(participant, event, {"id": "i"})
                assert (refused.status, refused.body["code"]) == (404, code)
            refused = await running.start("shop", "tried", {"no": "id"})
            assert (refused.status, refused.body["code"]) == (422, "bad-key")
            for path, code in (("trial/big", "unknown-instance"), ("other/i", "unknown-saga")):
                for method, more in (("GET", ""), ("POST", "/cancel")):
                    refused = await ask(method, f"{running.api('shop')}/v1/sagas/{path}{more}")
                    assert (refused.status, refused.body["code"]) == (404, code)
                    assert refused.body["detail"]
                with Command(tmp_path, "get", *path.split("/"), "--url", running.api("worker")) as command:
                    assert await command.ended() == 1
                    assert command.complained.endswith(f"({code})\n")
                    assert command.complained.count("\n") == 1
            assert await stored(running) == 0
            assert app.calls == []

    run(scenario())


def test_ten_identical_starts_at_once_are_one_instance(saga: Path, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with nonsensical(tmp_path, saga) as (running, app, _):
            starts = [running.start("shop", "tried", {"id": "i"}) for _ in range(10)]
            answers = await asyncio.gather(*starts)
            assert sorted(answer.status for answer in answers) == [200] * 9 + [202]
            assert len({answer.body["instances"][0]["run"] for answer in answers}) == 1
            assert (await finished(running, "i"))["state"] == "completed"
            assert app.paths("i") == ["/reserve", "/work", "/charge", "/ship"]
            other = await running.start("shop", "tried", {"id": "i", "more": 1})
            assert (other.status, other.body["code"]) == (409, "key-conflict")

    run(scenario())
