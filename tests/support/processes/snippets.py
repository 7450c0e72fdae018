"""The snippets of docs/participants.md as services: each with what it needs, beside a database, at a port of its own.

What a snippet needs is fetched once, into the user's cache, at the versions of tests/participants. Where its tools are
not here, or nobody hands out its libraries, there is a sentence that says so.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from sagamesh_cli.local.nats_server import die_with
from support.servers import programs
from support.servers.ports import free_ports

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "participants.md").read_text()
NEEDED = ROOT / "tests" / "participants"
PORT = "9002"
"""Where the snippets of the page listen."""
FETCH_TIMEOUT = 300.0


class NoTools(Exception):  # noqa: N818 - whether that is an error is for its receiver to say
    """What a snippet needs is not here, and why."""


def blocks(section: str, language: str) -> list[str]:
    """Those of that language in a section of the page."""
    text = re.split(rf"^## {re.escape(section)}$", PAGE, flags=re.MULTILINE)[1].partition("\n## ")[0]
    found = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
    assert found, f"{section} has no {language}"
    return found


class Snippet(NamedTuple):
    """How a snippet is made to run: `command` gives the command for its text, a folder for it, and a port.

    `hang`: what is put before the line that begins with `work`, so that the first call for the customer `hung` hangs;
    `noted`: where that is noted, at the end.
    """

    section: str
    language: str
    command: Callable[[str, Path, int], list[str]]
    work: str
    hang: str
    noted: str

    @property
    def text(self) -> str:
        return "\n".join(blocks(self.section, self.language))

    @property
    def hanging(self) -> str:
        """The same, with a work that hangs once."""
        assert self.text.count(self.work) == 1
        return self.text.replace(self.work, self.hang + self.work) + self.noted


class Answer(NamedTuple):
    status: int
    body: Any


class Service(NamedTuple):
    """A snippet that runs."""

    port: int

    def call(self, path: str, key: str, body: object, timeout: float = 30.0) -> Answer:
        """As a sidecar calls. Raises TimeoutError where no answer came in time."""
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        with contextlib.closing(client):
            headers = {"Content-Type": "application/json", "Idempotency-Key": f'"{key}"'}
            client.request("POST", path, json.dumps(body), headers)
            answer = client.getresponse()
            text = answer.read().decode()
        return Answer(answer.status, json.loads(text) if answer.status < 500 else text)


Serving = Callable[..., contextlib.AbstractContextManager[Service]]
"""What starts one."""


@contextlib.contextmanager
def serving(snippet: Snippet, text: str, environment: Mapping[str, str]) -> Iterator[Service]:
    """The snippet with that text, until the end of the block. Raises NoTools."""
    [port] = free_ports(1)
    with tempfile.TemporaryDirectory(prefix="sagamesh-snippet-") as name:
        folder = Path(name)
        command = snippet.command(text, folder, port)
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, **environment},
                stdout=log,
                stderr=log,
                preexec_fn=die_with(os.getpid(), signal.SIGKILL),  # noqa: PLW1509 - it allocates nothing, and no thread can hold it up
            )
        try:
            while not _listens(port):
                assert process.poll() is None, (folder / "log").read_text()
                time.sleep(0.05)
            yield Service(port)
            assert process.poll() is None, (folder / "log").read_text()
        finally:
            process.kill()
            process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def fastapi(text: str, folder: Path, port: int) -> list[str]:
    (folder / "service.py").write_text(text)
    python = _fetched("python", NEEDED / "requirements.txt", _packages) / "bin" / "python"
    return [str(python), "-m", "uvicorn", "service:app", "--port", str(port), "--log-level", "warning"]


def _packages(place: Path) -> None:
    venv.create(place, symlinks=True)
    limits = ["--requirement", str(NEEDED / "requirements.txt"), "--constraint", str(ROOT / "constraints.txt")]
    _run(sys.executable, "-m", "pip", "--python", str(place / "bin" / "python"), "install", "--quiet", *limits)


def express(text: str, folder: Path, port: int) -> list[str]:
    if not shutil.which("node") or not shutil.which("npm"):
        raise NoTools("no node and npm")
    (folder / "service.mjs").write_text(text.replace(PORT, str(port)))
    (folder / "node_modules").symlink_to(_fetched("node", NEEDED / "package.json", _modules) / "node_modules")
    return ["node", "service.mjs"]


def _modules(place: Path) -> None:
    shutil.copy(NEEDED / "package.json", place)
    _run("npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--no-package-lock", cwd=place)


def go(text: str, folder: Path, port: int) -> list[str]:
    for name in ("go.mod", "go.sum"):
        shutil.copy(NEEDED / name, folder)
    (folder / "main.go").write_text(text.replace(PORT, str(port)))
    if not shutil.which("go"):
        raise NoTools("no Go")
    if not programs.suffices(folder, programs.go(folder, "version").stdout):
        raise NoTools("no Go that is new enough")
    fetched = programs.go(folder, "mod", "download", timeout=FETCH_TIMEOUT)
    if fetched.returncode:
        raise NoTools(f"no modules of Go: {fetched.stderr.strip()}")
    programs.compile_into(folder, folder, "-s -w", ".")
    return [str(folder / "participant")]


def spring(text: str, folder: Path, port: int) -> list[str]:
    """The page leaves out what an editor fills in: imports, and the class that starts it all."""
    if not all(map(shutil.which, ("java", "javac", "mvn"))):
        raise NoTools("no java, javac and mvn")
    libraries = _fetched("java", NEEDED / "pom.xml", _jars) / "*"
    settings = re.findall(r"^spring\..*\n", text, re.MULTILINE)
    (folder / "application.properties").write_text("".join(settings).replace(":///", "://${PGHOST}:${PGPORT}/"))
    for setting in settings:
        text = text.replace(setting, "")
    (folder / "App.java").write_text(SPRING + text)
    _run("javac", "-parameters", "-cp", str(libraries), "-d", str(folder), "App.java", cwd=folder)
    options = [f"--server.port={port}", "--spring.datasource.username=postgres"]
    return ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", f"{folder}:{libraries}", "app.App", *options]


SPRING = """
package app;

import java.util.function.Supplier;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.http.*;
import org.springframework.jdbc.core.simple.JdbcClient;
import org.springframework.stereotype.Component;
import org.springframework.transaction.PlatformTransactionManager;
import org.springframework.transaction.support.TransactionTemplate;
import org.springframework.web.bind.annotation.*;

@SpringBootApplication
class App {
    static boolean hung;

    public static void main(String[] options) {
        SpringApplication.run(App.class, options);
    }
}

"""


def _jars(place: Path) -> None:
    copy = ["dependency:copy-dependencies", f"-DoutputDirectory={place}", "-DincludeScope=runtime"]
    _run("mvn", "--quiet", "--batch-mode", "--file", str(NEEDED / "pom.xml"), *copy)


def _fetched(name: str, needed: Path, fetch: Callable[[Path], None]) -> Path:
    """A folder in the cache with what a file asks for."""
    asked = hashlib.sha256(needed.read_bytes() + sys.version.encode()).hexdigest()[:16]
    folder = programs.cache(os.environ) / "participants" / f"{name}-{asked}"
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        fetch(folder)
        (folder / "complete").touch()
    return folder


def _run(*command: str, cwd: Path | None = None) -> None:
    try:
        ended = subprocess.run(command, check=False, cwd=cwd, capture_output=True, text=True, timeout=FETCH_TIMEOUT)
    except subprocess.TimeoutExpired:
        raise NoTools(f"{command[0]} takes longer than {FETCH_TIMEOUT:g} s") from None
    if ended.returncode:
        raise NoTools(f"{' '.join(command[:4])}: {ended.stderr.strip()}")


SNIPPETS = {
    "FastAPI": Snippet(
        "FastAPI",
        "python",
        fastapi,
        "        sql = ",
        '        if order["customerId"] == "hung" and not HUNG:\n            HUNG.append(True), time.sleep(600)\n',
        "import time\nHUNG = []\n",
    ),
    "Express": Snippet(
        "Express",
        "js",
        express,
        '  const sql = "UPDATE customers SET reserved = reserved + ',
        '  if (order.customerId === "hung" && !hung) await new Promise(() => { hung = true; });\n',
        "let hung = false;\n",
    ),
    "Spring": Snippet(
        "Spring",
        "(?:java|properties)",
        spring,
        "            int reserved = db.sql(",
        '            if (order.customerId().equals("hung") && !App.hung) {\n'
        "                App.hung = true;\n"
        "                java.util.concurrent.locks.LockSupport.parkNanos(600_000_000_000L);\n"
        "            }\n",
        "",
    ),
    "Go": Snippet(
        "Go",
        "go",
        go,
        "\tconst reserve = ",
        '\tif o.CustomerID == "hung" && !hung {\n\t\thung = true\n\t\tselect {}\n\t}\n',
        "var hung bool\n",
    ),
}
"""Those of the page that can be run here."""
