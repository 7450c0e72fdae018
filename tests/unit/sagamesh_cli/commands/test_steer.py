"""Start, get, trace and cancel against an API of canned answers: what is sent, what is shown, which exit code."""

import asyncio
import json
import socket
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from typer.testing import CliRunner, Result

from sagamesh_cli import client
from sagamesh_cli.errors import EnvironmentFault
from sagamesh_cli.main import app

DONE: dict[str, Any] = {
    "saga": "checkout",
    "id": "o-17",
    "run": "8f14e45fceea167a",
    "revision": "5f0c9a1e77",
    "state": "completed",
    "parked": False,
    "slow": False,
    "outcome": "committed",
    "cause": None,
    "started": "2026-01-02T03:04:05.000Z",
    "finished": "2026-01-02T03:05:07.250Z",
    "steps": [
        {
            "name": "reserve-credit",
            "participant": "customers",
            "state": "done",
            "event": "credit.reserved",
            "calls": 1,
            "reason": None,
        },
        {"name": "ship", "participant": "shipping", "state": "waiting", "event": None, "calls": 0, "reason": None},
    ],
    "timeline": [
        {"time": "2026-01-02T03:04:05.000Z", "step": "_", "register": "start", "value": "start", "by": "orders"},
        {
            "time": "2026-01-02T03:04:05.012Z",
            "step": "reserve-credit",
            "register": "end",
            "value": "done",
            "by": "customers",
        },
        {"time": "2026-01-02T03:05:07.250Z", "step": "_", "register": "finish", "value": "completed", "by": "shipping"},
    ],
}
RUNNING = {**DONE, "state": "running", "outcome": None, "finished": None}
CAUSE = {"kind": "refused", "reason": "INSUFFICIENT_CREDIT", "step": "reserve-credit"}
UNDONE = {**DONE, "state": "compensated", "outcome": "aborted", "cause": CAUSE}
STARTED = {"saga": "checkout", "id": "o-17", "run": "8f14e45fceea167a", "duplicate": False, "status": 202}
PATH = "/v1/sagas/checkout/o-17"


class Request(NamedTuple):
    method: str
    path: str
    query: dict[str, list[str]]
    body: Any
    raw: bytes = b""


class Api(ThreadingHTTPServer):
    """Answers each request with the next of `answers`, the last one for ever; keeps the requests."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[Request] = []
        self.answers: list[tuple[int, bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def will(self, *answers: tuple[int, Any]) -> None:
        self.answers = [
            (status, body if isinstance(body, bytes) else json.dumps(body).encode()) for status, body in answers
        ]

    def problem(self, status: int, code: str, detail: str) -> None:
        self.will((status, {"type": f"urn:{code}", "title": "No", "status": status, "detail": detail, "code": code}))


class Handler(BaseHTTPRequestHandler):
    server: Api

    def do_GET(self) -> None:
        length = int(self.headers.get("content-length", 0))
        raw = self.rfile.read(length)
        body = json.loads(raw) if length else None
        parts = urlsplit(self.path)
        self.server.requests.append(Request(self.command, parts.path, parse_qs(parts.query), body, raw))
        status, answer = self.server.answers[0]
        if len(self.server.answers) > 1:
            del self.server.answers[0]
        self.send_response(status)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def api() -> Iterator[Api]:
    with Api() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def sagamesh(api: Api, *args: str, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(app, args, input=stdin, env={"SAGAMESH_URL": api.url}, catch_exceptions=False)


def failed(result: Result, code: int) -> str:
    """The sentence of a command that only complained."""
    assert (result.exit_code, result.stdout) == (code, "")
    assert result.stderr.startswith("sagamesh: ")
    return result.stderr.removeprefix("sagamesh: ").removesuffix("\n")


# -- start ---------------------------------------------------------------------------------------------------------


def test_start_sends_a_cloudevent(api: Api) -> None:
    api.will((202, {"instances": [STARTED]}))
    result = sagamesh(api, "start", "order.placed", "--data", '{"total": 42}', "--id", "e-1")
    assert result.exit_code == 0
    hint = "  see what happens: sagamesh trace checkout o-17 --wait 30s"
    assert result.stdout == f"checkout/o-17 started\n{hint}\n"
    [request] = api.requests
    elsewhere = CliRunner().invoke(app, ["start", "order.placed", "--url", api.url], catch_exceptions=False)
    assert elsewhere.stdout == f"checkout/o-17 started\n{hint} --url {api.url}\n"
    assert (request.method, request.path) == ("POST", "/v1/events")
    assert request.body == {
        "specversion": "1.0",
        "id": "e-1",
        "source": "/sagamesh/cli",
        "type": "order.placed",
        "datacontenttype": "application/json",
        "data": {"total": 42},
    }


def test_start_says_what_was_started_before(api: Api) -> None:
    api.will((200, {"instances": [{**STARTED, "duplicate": True, "status": 200}]}))
    result = sagamesh(api, "start", "order.placed")
    assert result.exit_code == 0
    assert result.stdout.startswith("checkout/o-17 had been started before, with the same data\n")


def test_start_reads_data_from_files(api: Api, tmp_path: Path) -> None:
    api.will((202, {"instances": [STARTED]}))
    path = tmp_path / "data.json"
    path.write_text('{"from": "file"}')
    sagamesh(api, "start", "order.placed", "--data", f"@{path}")
    sagamesh(api, "start", "order.placed", "--data", "-", stdin=b'{"from": "stdin"}')
    sagamesh(api, "start", "order.placed")
    assert [request.body["data"] for request in api.requests] == [{"from": "file"}, {"from": "stdin"}, {}]
    assert len({request.body["id"] for request in api.requests}) == 3


EXACT = '{ "p": 1.10, "big": 12345678901234567890123, "e": 1E+2, "word": "caf\u00e9 \\u00e9", "p": 1.0 }'


@pytest.mark.parametrize("by", ["the command line", "a file", "stdin"])
def test_f10_data_are_sent_as_they_are(api: Api, tmp_path: Path, by: str) -> None:
    api.will((202, {"instances": [STARTED]}))
    path = tmp_path / "data.json"
    path.write_bytes(b"\xef\xbb\xbf" + EXACT.encode())  # some editors put a mark before UTF-8, which is no data
    data = {"the command line": EXACT, "a file": f"@{path}", "stdin": "-"}[by]
    assert sagamesh(api, "start", "order.placed", "--data", data, stdin=EXACT.encode()).exit_code == 0
    assert api.requests[0].raw.endswith(b'"datacontenttype": "application/json", "data": ' + EXACT.encode() + b"}")


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ("[1e999]", "--data is not JSON: 1e999 is more than a number can hold"),
        ("{", "--data is not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ("NaN", "--data is not JSON: there is no NaN in JSON"),
        ("[" * 100_000, "--data is nested too deep"),
        ("@/none.json", "--data @/none.json: the file cannot be read: No such file or directory"),
        ("@/", "--data @/: the file cannot be read: Is a directory"),
        ("-", "--data is not JSON: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
    ],
    ids=range(7),
)
def test_data_that_is_no_json_is_usage(api: Api, data: str, sentence: str) -> None:
    assert failed(sagamesh(api, "start", "order.placed", "--data", data, stdin=b"\xff"), 2) == sentence
    assert api.requests == []


@pytest.mark.parametrize(("end", "code"), [(DONE, 0), (UNDONE, 1)])
def test_start_and_wait(api: Api, end: dict[str, Any], code: int) -> None:
    api.will((202, {"instances": [STARTED]}), (200, RUNNING), (200, end))
    result = sagamesh(api, "start", "order.placed", "--wait", "1m")
    assert (result.exit_code, result.stderr) == (code, "")
    assert result.stdout.startswith(f"checkout/o-17 {end['state']}")
    assert [request.path for request in api.requests] == ["/v1/events", PATH, PATH]
    assert api.requests[1].query == {"wait": ["30.000s"]}


def test_a_wait_may_end_before_the_saga(api: Api) -> None:
    api.will((202, {"instances": [STARTED]}), (200, RUNNING))
    result = sagamesh(api, "start", "order.placed", "--wait", "10ms")
    assert result.exit_code == 1
    assert result.stdout == "checkout/o-17 running\n"
    assert result.stderr == "sagamesh: checkout/o-17 has not finished within 10ms; look again with `sagamesh trace`\n"


def test_start_for_programs(api: Api) -> None:
    api.will((202, {"instances": [STARTED]}), (200, DONE))
    result = sagamesh(api, "start", "order.placed", "--wait", "1s", "-o", "json")
    assert json.loads(result.stdout) == {"instances": [{**STARTED, **DONE}]}


def test_a_start_that_is_unknown_can_be_sent_again(api: Api) -> None:
    api.problem(503, "start-unknown", "the log did not confirm the start; send the same event again")
    result = sagamesh(api, "start", "order.placed", "--id", "e-1")
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr.splitlines() == [
        "sagamesh: whether it was started is not known; send it again with --id e-1, which does no harm",
        "sagamesh: the log did not confirm the start; send the same event again (start-unknown)",
    ]


# -- get and trace -------------------------------------------------------------------------------------------------


def test_get(api: Api) -> None:
    api.will((200, DONE))
    result = sagamesh(api, "get", "checkout", "o-17")
    assert result.exit_code == 0
    assert (
        result.stdout
        == """\
checkout/o-17 completed
  run       8f14e45fceea167a
  revision  5f0c9a1e77
  started   2026-01-02T03:04:05.000Z
  finished  2026-01-02T03:05:07.250Z

STEP            PARTICIPANT  STATE    EVENT            CALLS  REASON
reserve-credit  customers    done     credit.reserved  1
ship            shipping     waiting                   0
"""
    )


def test_get_wide_says_when_steps_ended_and_were_undone(api: Api) -> None:
    undone = {"time": "2026-01-02T03:05:07.000Z", "step": "reserve-credit", "register": "compensation", "value": "done"}
    api.will((200, {**DONE, "timeline": [*DONE["timeline"], undone]}))
    assert sagamesh(api, "get", "checkout", "o-17", "-o", "wide").stdout.splitlines()[-3:] == [
        "STEP            PARTICIPANT  STATE    EVENT            CALLS  ENDED    UNDONE      REASON",
        "reserve-credit  customers    done     credit.reserved  1      +0.012s  +1m02.000s",
        "ship            shipping     waiting                   0",
    ]


def test_wide_takes_a_timeline_as_it_is(api: Api) -> None:
    odd = [{"step": "ship", "register": {}, "time": "soon"}, {"step": "ship", "register": "end", "time": "soon"}, 7]
    api.will((200, {**DONE, "timeline": odd}))
    assert sagamesh(api, "get", "checkout", "o-17", "-o", "wide").stdout.splitlines()[-1].split()[-1] == "soon"


def test_the_name_of_an_instance_is_for_other_commands(api: Api) -> None:
    api.will((200, DONE))
    assert sagamesh(api, "get", "checkout", "o-17", "-o", "name").stdout == "checkout/o-17\n"


def test_a_saga_may_be_named_as_o_name_names_it(api: Api) -> None:
    api.will((200, DONE))
    assert sagamesh(api, "get", "saga.sagamesh.dev/checkout", "o-17", "-o", "name").stdout == "checkout/o-17\n"
    assert api.requests[-1].path == PATH


def test_trace(api: Api) -> None:
    api.will((200, UNDONE))
    result = sagamesh(api, "trace", "checkout", "o-17")
    assert result.exit_code == 0, "it says what happened, as it was asked to"
    assert (
        result.stdout
        == """\
checkout/o-17 compensated because reserve-credit was refused: INSUFFICIENT_CREDIT
TIME        STEP            REGISTER  VALUE      BY
+0.000s     _               start     start      orders
+0.012s     reserve-credit  end       done       customers
+1m02.250s  _               finish    completed  shipping
"""
    )
    assert sagamesh(api, "trace", "checkout", "o-17", "--wait", "1s").exit_code == 1


def test_trace_waits_in_several_calls(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "LONGEST_WAIT", 0.02)
    api.will((200, RUNNING), (200, RUNNING), (200, DONE))
    result = sagamesh(api, "trace", "checkout", "o-17", "--wait", "30s")
    assert result.exit_code == 0
    assert [request.query for request in api.requests] == [{"wait": ["0.020s"]}] * 3


@pytest.mark.parametrize("command", ["get", "trace"])
def test_an_instance_for_programs(api: Api, command: str) -> None:
    api.will((200, UNDONE))
    assert json.loads(sagamesh(api, command, "checkout", "o-17", "-o", "json").stdout) == UNDONE
    assert yaml.safe_load(sagamesh(api, command, "checkout", "o-17", "-o", "yaml").stdout) == UNDONE


def test_a_parked_saga_says_so(api: Api) -> None:
    api.will((200, {**RUNNING, "parked": True, "slow": True}))
    for command in ("get", "trace"):
        assert sagamesh(api, command, "checkout", "o-17").stdout.startswith("checkout/o-17 running parked\n")


def test_a_slow_saga_says_so(api: Api) -> None:
    api.will((200, {**RUNNING, "slow": True}))
    for command in ("get", "trace"):
        assert sagamesh(api, command, "checkout", "o-17").stdout.startswith("checkout/o-17 running slow\n")


def test_both_arguments_are_needed(api: Api) -> None:
    result = sagamesh(api, "trace", "checkout")
    assert result.exit_code == 2
    assert "Missing argument 'ID'" in result.stderr


@pytest.mark.parametrize("form", ["text", "json", "yaml"])
def test_what_an_app_says_does_not_reach_the_terminal_as_it_is(api: Api, form: str) -> None:
    evil = "\x1b[2J\x9b1m\u202e\r\x07\x7f\ud800 ok"
    api.will((200, {**UNDONE, "cause": {"kind": evil, "reason": evil}, "timeline": [{"step": evil, "time": evil}]}))
    for command in ("get", "trace"):
        result = sagamesh(api, command, "checkout", "o-17", "-o", form)
        assert result.exit_code == 0
        assert not set(evil) - set(" ok[2J1m") & set(result.stdout)
        assert " ok" in result.stdout


# -- cancel --------------------------------------------------------------------------------------------------------


def test_cancel(api: Api) -> None:
    api.will((200, {**RUNNING, "state": "aborting"}))
    result = sagamesh(api, "cancel", "checkout", "o-17", "--reason", "by phone")
    assert (result.exit_code, result.stdout) == (0, "checkout/o-17 is aborted; what it did is undone\n")
    assert [request[:4] for request in api.requests] == [("POST", f"{PATH}/cancel", {}, {"reason": "by phone"})]


def test_cancel_may_be_too_late(api: Api) -> None:
    sentence = "the instance is committed already"
    api.will((409, {"status": 409, "detail": sentence, "code": "decided", "outcome": "committed"}))
    assert failed(sagamesh(api, "cancel", "checkout", "o-17"), 1) == f"{sentence} (decided)"
    api.problem(409, "pivot-started", "the pivot is at work")
    assert failed(sagamesh(api, "cancel", "checkout", "o-17"), 1) == "the pivot is at work (pivot-started)"


def test_what_is_being_undone_already_is_cancelled(api: Api) -> None:
    api.will(
        (409, {"status": 409, "detail": "the instance is aborted already", "code": "decided", "outcome": "aborted"})
    )
    result = sagamesh(api, "cancel", "checkout", "o-17")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "checkout/o-17 was aborted before; `sagamesh get` says why, and what is undone\n"


# -- what can go wrong with any call -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code", "exit_code"),
    [
        (404, "unknown-instance", 1),
        (409, "key-conflict", 1),
        (400, "bad-event", 2),
        (413, "too-large", 2),
        (422, "bad-key", 2),
        (500, "internal", 3),
        (503, "log-unavailable", 3),
    ],
)
def test_a_problem_is_a_sentence_with_its_code(api: Api, status: int, code: str, exit_code: int) -> None:
    api.problem(status, code, "it\nis\x1b so")
    assert failed(sagamesh(api, "get", "checkout", "o-17"), exit_code) == f"it\\nis\\u001b so ({code})"


@pytest.mark.parametrize(
    ("status", "body"),
    [(200, b"<html>"), (200, b"[]"), (404, b"not found"), (404, b'{"a": 1}'), (302, b""), (200, b"[" * 100_000)],
    ids=range(6),
)
def test_something_else_listens(api: Api, status: int, body: bytes) -> None:
    api.will((status, body))
    sentence = failed(sagamesh(api, "get", "checkout", "o-17"), 3)
    assert sentence.startswith(f"what listens at {api.url} is not a sidecar's API (it answered {status}, ")
    assert "--url" in sentence


def test_what_was_started_must_be_said(api: Api) -> None:
    api.will((202, {"instances": "none"}))
    assert "is not a sidecar's API" in failed(sagamesh(api, "start", "order.placed"), 3)


def test_nobody_listens() -> None:
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        result = CliRunner().invoke(app, ["get", "checkout", "o-17", "--url", url], catch_exceptions=False)
    sentence = failed(result, 3)
    assert sentence.startswith(f"no API can be reached at {url} (Connection refused); is `sagamesh dev` running")


def test_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "PATIENCE", 0.05)
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        result = CliRunner().invoke(app, ["get", "checkout", "o-17", "--url", url], catch_exceptions=False)
    assert failed(result, 3).startswith(f"the API at {url} did not answer within 0.05 s; ")


@pytest.mark.parametrize(
    "url", ["nats://127.0.0.1:4222", "127.0.0.1:3650", "http://", "http://[", "http://h:port", "http://h:99999", ""]
)
def test_what_is_no_address_is_usage(url: str) -> None:
    result = CliRunner().invoke(app, ["get", "checkout", "o-17", "--url", url], catch_exceptions=False)
    assert failed(result, 2).startswith(f"{url!r} is not the address of an API")


def test_a_name_that_no_host_can_have() -> None:
    url = f"http://{'x' * 70}.ü"
    result = CliRunner().invoke(app, ["get", "checkout", "o-17", "--url", url], catch_exceptions=False)
    assert failed(result, 3)


def test_names_cannot_leave_their_place_in_the_path(api: Api) -> None:
    api.will((200, DONE))
    sagamesh(api, "get", "../x", "a/b?c#d\r\n")
    assert api.requests[0].path == "/v1/sagas/..%2Fx/a%2Fb%3Fc%23d%0D%0A"


# -- a start that must come through ---------------------------------------------------------------------------------


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "PAUSE", 0.001)
    monkeypatch.setattr(client, "LONGEST_PAUSE", 0.002)


def test_a_start_is_sent_until_it_is_taken(api: Api, hurry: None) -> None:
    busy = {"code": "UNAVAILABLE", "detail": "NATS does not answer"}
    api.will((503, busy), (502, b"<html>"), (202, {"instances": [STARTED]}))
    asyncio.run(client.send(api.url, "order.placed", "e-1", {"total": 42}))
    assert [request.body["id"] for request in api.requests] == ["e-1"] * 3
    assert api.requests[-1].body["data"] == {"total": 42}


def test_a_start_that_is_never_taken_is_a_sentence(api: Api, hurry: None) -> None:
    api.problem(503, "UNAVAILABLE", "NATS does not answer")
    with pytest.raises(EnvironmentFault, match=r"^order.placed e-1 could not be started at http://127"):
        asyncio.run(client.send(api.url, "order.placed", "e-1", {}))
    assert len(api.requests) == client.TRIES
