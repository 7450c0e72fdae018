"""What goes wrong is told in one clear sentence, with the exit code or the problem document for it. Nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sagamesh_cli.local import mesh
from sagamesh_cli.local.mesh import MeshOptions, read_sagas, running
from sagamesh_cli.local.nats_server import EmbeddedServer
from sagamesh_jetstream.client.session import connect
from support.fakes.scripted_app import Call, ScriptedApp, http, serving
from support.processes import in_process
from support.processes.command import Apis, Command
from support.processes.in_process import Ended
from support.processes.shared import PlayOn, shared
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
      after: [tried]
      action: {path: /reserve}
      compensation: {path: /release}
    - name: work
      participant: worker
      after: [reserve.done]
      action: {path: /work, body: 'events["tried"].data', <how>}
      compensation: {path: /unwork}
    - name: charge
      participant: worker
      after: [work.done]
      pivot: true
      action: {path: /charge, body: 'events["tried"].data', <how>}
    - name: ship
      participant: worker
      after: [charge.done]
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


def told(ended: Ended, code: int, sentence: str = "") -> str:
    """What a program that cannot do what it should says about that, in one line (of which `sentence` is a part)."""
    assert ended.code == code, ended.complained
    assert ended.said == ""
    if sentence:
        assert sentence in ended.complained
        assert ended.complained.count("\n") == 1
    return ended.complained


def tell(directory: Path, *arguments: object, code: int, sentence: str = "") -> str:
    """The same of `sagamesh ...`."""
    return told(in_process.sagamesh(directory, *arguments), code, sentence)


def test_a_process_says_what_is_said_in_this_one(busy: int, tmp_path: Path) -> None:
    """On the same channel, with the same exit code, and without a traceback: for one sentence of each program."""
    ports = {"SAGAMESH_API_PORT": "0", "SAGAMESH_HEALTH_HOST": "127.0.0.1", "SAGAMESH_HEALTH_PORT": str(busy)}

    async def process(*arguments: object, **how: str) -> Ended:
        with Command(tmp_path, *arguments, **how) as running:
            return Ended(await running.ended(), running.said, running.complained)

    async def scenario() -> tuple[Ended, Ended]:
        return await asyncio.gather(
            process("dev", "no.yaml", *APPS), process(program="sagamesh-sidecar", **WHO, **ports)
        )

    command, sidecar = asyncio.run(scenario())
    told(command, 2, "sagamesh: there is no file no.yaml")
    assert command == in_process.sagamesh(tmp_path, "dev", "no.yaml", *APPS)
    assert sidecar == Ended(3, "", BUSY.format(port=busy))


# -- a run that cannot start ----------------------------------------------------------------------------------------


def test_a_saga_that_is_wrong(saga: Path, tmp_path: Path) -> None:
    saga.write_text(SAGA.replace("after: [reserve.done]", "after: [reserved]"))
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


@pytest.mark.parametrize(
    ("option", "value", "code", "sentence"),
    [
        ("--nats", "nats://127.0.0.1:9", 3, "NATS at nats://127.0.0.1:9 cannot be reached"),
        ("--app", "shop=nonsense", 2, "--app shop=nonsense: write the service's address with its port"),
        ("--nats", "nonsense", 2, "--nats nonsense: write the server's address"),
    ],
)
def test_urls_where_nothing_is_and_urls_that_are_none(
    option: str, value: str, code: int, sentence: str, saga: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mesh, "connect", partial(connect, timeout=0.5))  # whether somebody comes is seen at once
    tell(tmp_path, "dev", saga, *APPS, option, value, code=code, sentence=f"sagamesh: {sentence}")


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


def test_a_start_that_fails_leaves_no_ready_file_of_a_run_that_was_killed(
    busy: int, saga: Path, tmp_path: Path
) -> None:
    stale = tmp_path / "ready.json"
    stale.write_text("{}")
    tell(tmp_path, "dev", saga, *APPS, "--ready-file", stale, "--port", busy, code=3, sentence=f"port {busy}")
    assert not stale.exists()


def test_state_that_another_run_holds(saga: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    with EmbeddedServer(state / "nats"):
        tell(tmp_path, "dev", saga, *APPS, "--state", state, code=3, sentence=f"{state / 'nats'} is in use")


# -- a sidecar that cannot start -------------------------------------------------------------------------------------


WHO = {"SAGAMESH_NAMESPACE": "default", "SAGAMESH_PARTICIPANT": "shop"}
BUSY = "sagamesh-sidecar: cannot listen on 127.0.0.1 port {port}: something else listens there\n"


@pytest.mark.parametrize("missing", WHO)
def test_a_sidecar_without_settings(missing: str, tmp_path: Path) -> None:
    left = {name: value for name, value in WHO.items() if name != missing}
    told(in_process.sidecar(tmp_path, **left), 2, f"sagamesh-sidecar: {missing} is not set")


def test_a_busy_port_of_a_sidecar(busy: int, tmp_path: Path) -> None:
    """Of its API; a busy port of its probes is told above."""
    ports = {"SAGAMESH_API_PORT": str(busy), "SAGAMESH_HEALTH_PORT": "0"}
    assert in_process.sidecar(tmp_path, **WHO, **ports) == Ended(3, "", BUSY.format(port=busy))


# -- an app that answers nonsense ------------------------------------------------------------------------------------

NONSENSE: Mapping[str, tuple[bytes, str]] = {
    "garbage": (b"\x16\x03\x01 what?\r\n\r\n", "unreadable answer"),
    "no-json": (http(200, b"<html>"), "answered 200, which cannot be used: not JSON"),
    "accepted": (http(202), "answered 202: asynchronous steps are not built yet"),
    "huge": (http(200, b'"' + b"x" * (300 << 10) + b'"'), "the body of the answer is over 262144 bytes"),
    "huge-head": (http(200, b"{}", "X-Much: " + "x" * (64 << 10)), "the head of the answer is over"),
    "half": (http(200, b'{"a":', length=100), "the app closed the connection before its answer was complete"),
    "nothing": (b"", "the app closed the connection before its answer was complete"),
    "moved": (http(302, b"", "Location: /other"), "answered 302, Location: /other"),
    "forbidden": (http(403, b'{"detail": "not on a Sunday"}'), "not on a Sunday"),
    "teapot": (http(299), "answered 299: no whole answer"),
    "broken": (http(500, b'{"detail": "out of paper"}'), "out of paper"),
    "stranger": (http(200, b"{}", "ce-type: no.such.event"), "no `emits` fits 'no.such.event'"),
}
REFUSALS = ("forbidden",)  # which the pivot may give, too
UNDONE = (*REFUSALS, "moved")  # with these answers nothing was done
FINAL = (*REFUSALS, "stranger")  # after which an action is not called again
FAILING = [*(("work", kind) for kind in NONSENSE), *(("charge", kind) for kind in REFUSALS)]
WAITING = [(at, kind) for at in ("charge", "ship") for kind in NONSENSE if (at, kind) not in FAILING]


class Trial(Apis):
    """The saga with its two sidecars, in this process, and an app that answers nonsense where the event's data say so.

    `is_well`: whether it has come to its senses.
    """

    def __init__(self) -> None:
        self.app = ScriptedApp(self._answer)
        self.is_well = False

    async def _answer(self, call: Call) -> bytes:
        data = call.data if isinstance(call.data, dict) else {}
        sick = call.path == f"/{data.get('at')}" and not self.is_well
        return NONSENSE[data["answer"]][0] if sick else http(200, b'{"from": "app"}')

    async def begin(self, at: str, kind: str) -> None:
        answer = await self.start("shop", "tried", {"id": f"{at}-{kind}", "at": at, "answer": kind})
        assert answer.status == 202, answer.text

    async def finished(self, instance: str) -> Any:
        found = await self.get("worker", "trial", instance, "?wait=25s")
        assert found["finished"], found
        return found

    async def parked(self, instance: str, at: str) -> str:
        """Wait until it is, and say for which reason of that step."""
        async with asyncio.timeout(20):
            while not (found := await self.get("worker", "trial", instance))["parked"]:
                await asyncio.sleep(0.05)
        assert found["state"] == "running"
        assert found["finished"] is None
        return str(next(step["reason"] for step in found["steps"] if step["name"] == at))

    async def stored(self) -> int:
        """How many messages are in the saga's stream."""
        async with connect(self.listens["nats"]) as stream:
            return int((await stream.api("STREAM.INFO.SAGA_default_trial"))["state"]["last_seq"])


@contextlib.asynccontextmanager
async def trial(directory: Path) -> AsyncIterator[Trial]:
    file = directory / "saga.yaml"
    file.write_text(SAGA)
    on = Trial()
    async with serving(on.app):
        options = MeshOptions(files=[str(file)], apps=dict.fromkeys(("shop", "worker"), on.app.url))
        async with running(options, read_sagas(options.files), lambda *_: None) as built:
            on.listens = built.listens()
            yield on


@pytest.fixture(scope="module")
def play(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlayOn[Trial]]:
    """One trial for all, whose instances have names of their own."""
    with shared(trial(tmp_path_factory.mktemp("trial")), 60) as play:
        yield play


def test_f21_f22_an_app_that_answers_nonsense(play: PlayOn[Trial]) -> None:
    """Before the pivot the step fails and the saga is compensated; from the pivot on it parks until the app is well."""

    async def scenario(on: Trial) -> None:
        on.is_well = False
        await asyncio.gather(*(on.begin(at, kind) for at, kind in FAILING + WAITING))
        for at, kind in FAILING:
            assert_undone(await on.finished(f"{at}-{kind}"), on.app, at, kind)
        for at, kind in WAITING:
            # F22: from the pivot on parked, with the reason shown
            assert NONSENSE[kind][1] in await on.parked(f"{at}-{kind}", at)
        on.is_well = True
        for at, kind in WAITING:
            found = await on.finished(f"{at}-{kind}")
            assert (found["state"], found["parked"]) == ("completed", False)
            assert not {"/release", "/unwork"} & {*on.app.paths(f"{at}-{kind}")}
        # F59: never followed
        assert "/other" not in {call.path for call in on.app.calls}

    play(scenario)


def assert_undone(found: Any, app: ScriptedApp, at: str, kind: str) -> None:
    assert found["state"] == "compensated", found
    step = next(step for step in found["steps"] if step["name"] == at)
    reason = NONSENSE[kind][1]
    # F21: with the app's own reason
    assert reason in step["reason"], (kind, step)
    assert reason in found["cause"]["reason"]
    # F22: Counts as "nobody knows"
    assert found["cause"]["kind"] == ("refused" if kind in UNDONE else "unknown")
    # F22: called again until `within` is over
    assert app.paths(f"{at}-{kind}").count(f"/{at}") > 1 or kind in FINAL
    called = dict.fromkeys(app.paths(f"{at}-{kind}"))  # each once: the notice may come as late as what it waits for
    # F22: then failed and compensated
    assert [*called][-2:] == ["/unwork", "/release"]  # for whoever answers nonsense may have acted


# -- an API that refuses ---------------------------------------------------------------------------------------------


def test_what_the_api_refuses(play: PlayOn[Trial], tmp_path: Path) -> None:
    async def scenario(on: Trial) -> None:
        before = await on.stored(), len(on.app.calls)
        big = {"id": "big", "text": "x" * (256 << 10)}
        refused = await on.start("shop", "tried", big)
        assert (refused.status, refused.body["code"]) == (413, "too-large")
        for participant, event, code in (
            ("shop", "heard", "nobody-listens"),
            ("worker", "tried", "nobody-listens"),
        ):
            refused = await on.start(participant, event, {"id": "i"})
            assert (refused.status, refused.body["code"]) == (404, code)
        refused = await on.start("shop", "tried", {"no": "id"})
        assert (refused.status, refused.body["code"]) == (422, "bad-key")
        for path, code in (("trial/big", "unknown-instance"), ("other/i", "unknown-saga")):
            for method, more in (("GET", ""), ("POST", "/cancel")):
                refused = await ask(method, f"{on.api('shop')}/v1/sagas/{path}{more}")
                assert (refused.status, refused.body["code"]) == (404, code)
                assert refused.body["detail"]
            url = on.api("worker")
            ended = await asyncio.to_thread(in_process.sagamesh, tmp_path, "get", *path.split("/"), "--url", url)
            assert told(ended, 1, f"({code})").endswith(f"({code})\n")
        assert (await on.stored(), len(on.app.calls)) == before, "nothing was stored, and nobody called"

    play(scenario)


def test_ten_identical_starts_at_once_are_one_instance(play: PlayOn[Trial]) -> None:
    async def scenario(on: Trial) -> None:
        starts = [on.start("shop", "tried", {"id": "ten"}) for _ in range(10)]
        answers = await asyncio.gather(*starts)
        assert sorted(answer.status for answer in answers) == [200] * 9 + [202]
        assert len({answer.body["instances"][0]["run"] for answer in answers}) == 1
        assert (await on.finished("ten"))["state"] == "completed"
        assert on.app.paths("ten") == ["/reserve", "/work", "/charge", "/ship"]
        other = await on.start("shop", "tried", {"id": "ten", "more": 1})
        assert (other.status, other.body["code"]) == (409, "key-conflict")

    play(scenario)
