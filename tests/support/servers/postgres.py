"""PostgreSQL: where its programs are, and a server of one's own, which takes everybody from this machine."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from sagamesh_cli.local.nats_server import die_with
from support.servers.ports import free_ports

NAMES = ("initdb", "postgres", "psql")
NOBODY = "nobody"
"""Whose the server is where the tests are root's, who may not run it."""
SETTINGS = ("listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", "max_connections=40")


class NoPostgres(Exception):  # noqa: N818 - whether that is an error is for its receiver to say
    """There is none here, and why."""


def find() -> Path:
    """The folder of its programs: that of the PATH, else the newest of Debian's. Raises NoPostgres."""
    named = shutil.which("postgres")
    folders = [Path(named).resolve().parent] if named else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: -int(folder.parent.name))
    for folder in folders:
        if all((folder / name).is_file() for name in NAMES):
            return folder
    raise NoPostgres(f"no PostgreSQL: neither the PATH nor /usr/lib/postgresql has {', '.join(NAMES)}")


class Postgres(NamedTuple):
    """A server that runs."""

    programs: Path
    port: int

    @property
    def environment(self) -> dict[str, str]:
        """By which every client finds it."""
        return {"PGHOST": "127.0.0.1", "PGPORT": str(self.port), "PGUSER": "postgres"}

    def run(self, sql: str, database: str = "postgres") -> list[str]:
        """The rows, each as one text."""
        options = ["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"]
        command = [self.programs / "psql", *options, f"--dbname={database}"]
        environment = {**os.environ, **self.environment}
        return subprocess.run(
            command, env=environment, input=sql, capture_output=True, text=True, check=True, timeout=60
        ).stdout.splitlines()


@contextlib.contextmanager
def serving() -> Iterator[Postgres]:
    """One that is empty, and gone at the end. Raises NoPostgres."""
    programs = find()
    folder = Path(tempfile.mkdtemp(prefix="sagamesh-postgres-"))
    whose: dict[str, Any] = {}
    if os.geteuid() == 0:
        owner = pwd.getpwnam(NOBODY)
        os.chown(folder, owner.pw_uid, owner.pw_gid)
        whose = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
    [port] = free_ports(1)
    try:
        made = [
            programs / "initdb",
            "--username=postgres",
            "--auth=trust",
            "--no-sync",
            "--encoding=UTF8",
            folder / "data",
        ]
        ended = subprocess.run(made, capture_output=True, text=True, check=False, cwd=folder, **whose)
        assert ended.returncode == 0, ended.stderr
        options = [option for setting in (f"port={port}", *SETTINGS) for option in ("-c", setting)]
        with (folder.with_suffix(".log")).open("wb") as log:
            process = subprocess.Popen(
                [programs / "postgres", "-D", folder / "data", *options],
                stdout=log,
                stderr=log,
                cwd=folder,
                preexec_fn=die_with(os.getpid(), signal.SIGQUIT),  # noqa: PLW1509 - it allocates nothing, and no thread can hold it up
                **whose,
            )
        try:
            server = Postgres(programs, port)
            _wait(server, process, Path(log.name))
            yield server
        finally:
            process.send_signal(signal.SIGQUIT)
            process.wait(30)
    finally:
        shutil.rmtree(folder)
        folder.with_suffix(".log").unlink(missing_ok=True)


def _wait(server: Postgres, process: subprocess.Popen[bytes], log: Path) -> None:
    while True:
        with contextlib.suppress(subprocess.CalledProcessError):
            server.run("SELECT 1")
            return
        assert process.poll() is None, log.read_text()
        time.sleep(0.05)
