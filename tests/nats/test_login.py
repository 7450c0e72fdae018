"""The login in files, as a Secret is mounted: on a real server, by sidecar, operator and command line."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest
from typer.testing import CliRunner

from sagamesh_cli.local.example_services import example
from sagamesh_cli.main import app
from sagamesh_jetstream.client import hidden
from sagamesh_jetstream.client.session import Session
from sagamesh_sidecar.adapters.nats import NatsLog, Timing
from support.processes.command import Command, dev
from support.processes.stage import run, until
from support.processes.web import ask
from support.servers.authority import Authority
from support.servers.nats_server import NatsServer
from support.servers.ports import free_ports
from support.servers.tokens import Tokens


@pytest.fixture(autouse=True)
def _bury_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client whose TLS has failed never says that it is closed: here nobody need wait for that as long."""
    monkeypatch.setattr(hidden, "CLOSE_TIMEOUT", 0.2)


class Guarded(NatsServer):
    """A server with an authorization and TLS of the test's choice, which may change while it runs."""

    def __init__(self, directory: Path, **config: Any) -> None:
        super().__init__(directory)
        self.config = config

    def _config(self) -> dict[str, Any]:
        return super()._config() | self.config

    async def change(self, **config: Any) -> None:
        self.config |= config
        file = self.directory / "nats-server.conf"
        before = self._log.read_text().count("Reloaded server configuration")
        file.write_text(json.dumps(json.loads(file.read_text()) | config))
        os.kill(self.pid, signal.SIGHUP)
        await until(lambda: self._log.read_text().count("Reloaded server configuration") > before)


QUICK = Timing(start=0.1, connect=1.0, reply=1.0, watch=0.1)


class Guest(Protocol):
    """Either of the two, as far as a login goes."""

    locked_out: str


@asynccontextmanager
async def sidecar(url: str, directory: Path | str) -> AsyncIterator[tuple[Guest, Callable[[], bool]]]:
    async with NatsLog(url, name="test", directory=str(directory), timing=QUICK) as log:
        yield log, lambda: log.connected  # type: ignore[misc]


@asynccontextmanager
async def operator(url: str, directory: Path | str) -> AsyncIterator[tuple[Guest, Callable[[], bool]]]:
    session = Session(url, directory=str(directory), timeout=2.0, timing=QUICK)
    running = asyncio.create_task(session.run())
    try:
        yield session, lambda: not session.problem
    finally:
        running.cancel()
        await asyncio.wait([running])


both = pytest.mark.parametrize("guest", [sidecar, operator])


def secret(directory: Path, **files: str | Path) -> Path:
    """A directory as a Secret is mounted; `tls_crt` is `tls.crt`. What is there already stays, unless it is changed."""
    directory.mkdir(exist_ok=True)
    for name, content in files.items():
        text = content.read_text() if isinstance(content, Path) else content
        (directory / name.replace("_", ".")).write_text(text)
    return directory


def user(password: str) -> dict[str, Any]:
    return {"users": [{"user": "shop", "password": password}]}


@both
@pytest.mark.parametrize(
    ("authorization", "files"),
    [(user("s3cret"), {"username": "shop\n", "password": "s3cret\n"}), ({"token": "t0ken"}, {"token": "t0ken"})],
    ids=["password", "token"],
)
def test_a_login_that_is_taken_and_one_that_is_not(
    guest: Any, authorization: Any, files: dict[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        right = secret(tmp_path / "right", **files)
        wrong = secret(tmp_path / "wrong", **files | {[*files][-1]: "guessed"})
        async with guest(server.url, right) as (_, connected):
            await until(connected)
        async with guest(server.url, wrong) as (one, connected):
            await until(lambda: one.locked_out)
            sentence = f"NATS does not take the login ('Authorization Violation'): look at the files in {wrong}"
            # F47: A login that is not taken is told in one sentence
            assert sentence in one.locked_out
            # F47: by the log
            assert sentence in caplog.text
            secret(wrong, **files)
            # F47: tried again
            await until(connected)
            await until(lambda: not one.locked_out)
        for word in ("s3cret", "t0ken", "guessed"):
            assert word not in caplog.text, "a secret stands in the log"

    with Guarded(tmp_path / "nats", authorization=authorization) as server:
        run(scenario())


@both
def test_f47_a_login_that_is_rotated_while_it_is_used(guest: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        files = secret(tmp_path / "secret", username="shop", password="old")
        async with guest(server.url, files) as (one, connected):
            await until(connected)
            await server.change(authorization=user("new"))
            await until(lambda: one.locked_out)
            assert not connected()
            secret(files, password="new")
            # F47: its files (`SAGAMESH_NATS_DIR`) are read for each new connection, so that a rotated Secret is taken
            # F47: without a restart
            await until(connected)

    with Guarded(tmp_path / "nats", authorization=user("old")) as server:
        run(scenario())


def tls(authority: Authority, **more: Any) -> dict[str, Any]:
    certificate, key = authority.issue("server")
    return {"cert_file": str(certificate), "key_file": str(key), "ca_file": str(authority.ca), **more}


@both
def test_f48_tls_by_an_authority_of_ones_own_with_client_certificates(guest: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        certificate, key = ours.issue("client")
        full = secret(tmp_path / "full", ca_crt=ours.ca, tls_crt=certificate, tls_key=key)
        async with guest(server.url, full) as (_, connected):
            await until(connected)
        async with guest(server.url, "") as (one, connected):
            await until(lambda: "is not trusted" in one.locked_out)
            assert "set SAGAMESH_NATS_DIR" in one.locked_out
        async with guest(server.url, secret(tmp_path / "nobody", ca_crt=ours.ca)) as (one, connected):
            await until(lambda: one.locked_out)
            assert not connected()
        certificate, key = theirs.issue("client")
        stranger = secret(tmp_path / "stranger", ca_crt=ours.ca, tls_crt=certificate, tls_key=key)
        async with guest(server.url, stranger) as (one, connected):
            # F48: on either side
            await until(lambda: one.locked_out)
            assert not connected()
            certificate, key = ours.issue("another")
            secret(stranger, tls_crt=certificate, tls_key=key)
            # F48: client certificate in `SAGAMESH_NATS_DIR` is taken by the next connection
            await until(connected)

    ours, theirs = Authority(tmp_path / "ours"), Authority(tmp_path / "theirs")
    with Guarded(tmp_path / "nats", tls=tls(ours, verify=True)) as server:
        run(scenario())


@both
def test_f48_an_authority_that_is_rotated(guest: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        files = secret(tmp_path / "secret", ca_crt=old.ca)
        async with guest(server.url, files) as (one, connected):
            await until(connected)
            server.stop()
            server.config["tls"] = tls(new)
            server.start()
            # F48: A certificate that is not trusted, on either side, is told
            await until(lambda: "is not trusted" in one.locked_out)
            assert f"look at the files in {files}, ca.crt above all" in one.locked_out
            secret(files, ca_crt=new.ca)
            # F48: tried again; a new authority
            # F48: is taken by the next connection
            await until(connected)

    old, new = Authority(tmp_path / "old"), Authority(tmp_path / "new")
    with Guarded(tmp_path / "nats", tls=tls(old)) as server:
        run(scenario())


@both
def test_nothing_is_told_in_the_clear_where_tls_is_wanted(guest: Any, tmp_path: Path) -> None:
    """A server, or somebody on the way to it, that does not ask for TLS gets no password."""

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"x","version":"2.15.1","max_payload":1048576,"auth_required":true}\r\n')
        heard.append(await reader.read())
        writer.close()

    async def scenario() -> None:
        authority = Authority(tmp_path / "authority")
        files = secret(tmp_path / "secret", username="shop", password="s3cret", ca_crt=authority.ca)
        async with await asyncio.start_server(listen, "127.0.0.1", 0) as spy:
            port = spy.sockets[0].getsockname()[1]
            async with guest(f"nats://127.0.0.1:{port}", files) as (one, _):
                await until(lambda: "does not ask for TLS" in one.locked_out)
                await until(lambda: heard)
            # F48: Where TLS is wanted, nothing is said to a server that does not ask for it
            assert set(heard) == {b""}

    heard: list[bytes] = []
    run(scenario())


WRONG = {
    "half": ({"username": "shop"}, "has a file username, but no password"),
    "key": ({"tls_crt": "x"}, "has a file tls.crt, but no tls.key"),
    "empty": ({"token": "\n"}, "token is empty"),
    "none": ({"user": "shop"}, "has none of the files nats.creds, username, password, token, ca.crt, tls.crt, tls.key"),
    "two": ({"token": "x", "username": "shop", "password": "y"}, "has username and token: one login is enough"),
    "no-creds": ({"nats_creds": "x"}, "nats.creds does not hold a user's JWT and seed"),
    "no-ca": ({"ca_crt": "x"}, "ca.crt holds no certificate that can be used"),
    "no-pair": ({"tls_crt": "x", "tls_key": "y"}, "tls.crt and tls.key cannot be used together"),
}


@both
@pytest.mark.parametrize("case", WRONG)
def test_files_that_cannot_be_used(guest: Any, case: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Said in one sentence, and tried again: the files may be on their way."""
    files, sentence = WRONG[case]

    async def scenario() -> None:
        directory = secret(tmp_path / "secret", **files)
        async with guest(server.url, directory) as (one, connected):
            await until(lambda: one.locked_out)
            assert f"{directory}" in one.locked_out
            assert sentence in one.locked_out
            assert sentence in caplog.text
            for file in directory.iterdir():
                file.unlink()
            secret(directory, token="t0ken")
            await until(connected)

    caplog.set_level(logging.WARNING)
    with Guarded(tmp_path / "nats", authorization={"token": "t0ken"}) as server:
        run(scenario())


@both
def test_a_directory_that_is_not_there_or_not_readable(guest: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with guest("nats://127.0.0.1:9", tmp_path / "no") as (one, _):
            await until(lambda: f"SAGAMESH_NATS_DIR is {tmp_path / 'no'}, and there is no such" in one.locked_out)
        (tmp_path / "secret" / "token").mkdir(parents=True)
        async with guest("nats://127.0.0.1:9", tmp_path / "secret") as (one, _):
            await until(lambda: "token cannot be read: Is a directory" in one.locked_out)

    run(scenario())


@both
def test_credentials_with_a_token_and_a_seed(guest: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with guest(server.url, secret(tmp_path / "ours", nats_creds=tokens.credentials())) as (_, connected):
            await until(connected)
        strange = secret(tmp_path / "theirs", nats_creds=Tokens().credentials())
        async with guest(server.url, strange) as (one, connected):
            await until(lambda: one.locked_out)
            assert not connected()
            secret(strange, nats_creds=tokens.credentials())
            # F47: tried again
            await until(connected)
        broken = secret(tmp_path / "broken", nats_creds=tokens.credentials().replace("\nSU", "\nXX"))
        async with guest(server.url, broken) as (one, _):
            await until(lambda: "nats.creds cannot be used: " in one.locked_out)

    tokens = Tokens()
    with Guarded(tmp_path / "nats", **tokens.config) as server:
        run(scenario())


KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: nowhere
contexts: [{name: nowhere, context: {cluster: nowhere, user: nobody}}]
clusters: [{name: nowhere, cluster: {server: "http://127.0.0.1:9"}}]
users: [{name: nobody, user: {}}]
"""


@pytest.mark.parametrize("program", ["sagamesh-sidecar", "sagamesh-operator"])
def test_readiness_says_why_the_login_is_not_taken(program: str, tmp_path: Path) -> None:
    """Of the processes themselves, set as in a cluster."""
    (tmp_path / "kubeconfig").write_text(KUBECONFIG)
    api, port = free_ports(2)
    variables = {"NATS": "", "NATS_DIR": str(tmp_path / "secret"), "HTTP_PORT": str(port), "INSTALLATION": "here"}
    variables |= {"NAMESPACE": "shop", "PARTICIPANT": "orders", "API_PORT": str(api), "HEALTH_PORT": str(port)}

    async def readiness() -> str:
        with contextlib.suppress(OSError):
            return (await ask("GET", f"http://127.0.0.1:{port}/readyz")).text
        return ""

    async def says(sentence: str) -> None:
        async with asyncio.timeout(20):
            while sentence not in await readiness():
                await asyncio.sleep(0.05)

    async def scenario() -> None:
        files = secret(tmp_path / "secret", username="shop", password="guessed")
        variables["NATS"] = server.url
        environment = {f"SAGAMESH_{name}": value for name, value in variables.items()}
        with Command(tmp_path, program=program, KUBECONFIG=str(tmp_path / "kubeconfig"), **environment) as command:
            await says(f"NATS does not take the login ('Authorization Violation'): look at the files in {files}")
            secret(files, password="s3cret")
            await says("the rules were not read" if program == "sagamesh-sidecar" else "the Sagas were not listed yet")
            command.send(signal.SIGTERM)
            await command.until(lambda: command.process.poll() is not None)
            assert command.process.returncode == 0, command.complained

    with Guarded(tmp_path / "nats", authorization=user("s3cret")) as server:
        run(scenario())


def test_the_command_line_logs_in_as_sidecars_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    authority = Authority(tmp_path / "authority")
    right = secret(tmp_path / "right", ca_crt=authority.ca, username="shop", password="s3cret")
    wrong = secret(tmp_path / "wrong", ca_crt=authority.ca, username="shop", password="guessed")
    here = [part for name in ("orders", "customers") for part in ("--app", f"{name}=http://127.0.0.1:9")]

    def doctor(directory: Path | str) -> str:
        done = CliRunner().invoke(app, ["doctor", "--nats", server.url], env={"SAGAMESH_NATS_DIR": str(directory)})
        assert done.exit_code == (0 if directory == right else 1)
        return done.stdout.partition("\nnats\n")[2]

    async def scenario() -> None:
        saga = example("01-customers-and-orders") / "saga.yaml"
        async with dev(tmp_path, saga, *here, "--nats", server.url, "--nats-dir", right) as running:
            await running.until(lambda: "new instances take revision" in running.said)
            await running.stop()
        monkeypatch.setenv("SAGAMESH_NATS_DIR", str(wrong))  # which is not meant for a server of its own
        async with dev(tmp_path, saga, *here) as running:
            await running.stop()

    with Guarded(tmp_path / "nats", authorization=user("s3cret"), tls=tls(authority)) as server:
        run(scenario())
        assert "ok       there is the bucket sagamesh-rules" in doctor(right)
        assert f"NATS does not take the login ('Authorization Violation'): look at the files in {wrong}" in doctor(
            wrong
        )
        without = doctor("")
        assert "is not trusted" in without
        assert "--nats-dir names the directory with the login" in without
