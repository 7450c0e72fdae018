"""What the services of the examples share: a small HTTP server, and the fence that lets every call count once.

It knows neither sagas nor Sagamesh, only what each service has to do: same key, same answer, one effect. Copy it, or
write the fence with your own framework and database: `docs/participants.md` shows it for three of them.
"""

import argparse
import contextlib
import itertools
import json
import os
import signal
import socket
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, str]  # status and JSON body
Work = Callable[[sqlite3.Connection, Any], Any]  # (database, decoded body) -> what is to be answered


class Refused(Exception):  # noqa: N818 - an answer, not an error
    """Raised by an action that does nothing and never will. The saga is aborted; compensations get the reason."""


# -- the fence: one table, three statements ------------------------------------------------------------------------

TABLE = """
CREATE TABLE IF NOT EXISTS answers (
    step   TEXT NOT NULL,     -- <namespace>/<saga>/<id>/<run>/<step>: the idempotency key up to the last slash
    kind   TEXT NOT NULL,     -- action or compensation: what follows that slash
    status INTEGER,
    body   TEXT,
    PRIMARY KEY (step, kind)
);
"""
CLAIM = "INSERT INTO answers (step, kind) VALUES (?, ?) ON CONFLICT DO NOTHING"
RECORD = "UPDATE answers SET status = ?, body = ? WHERE step = ? AND kind = ?"
RECALL = "SELECT status, body FROM answers WHERE step = ? AND kind = ?"


def once(db: sqlite3.Connection, step: str, kind: str, work: Callable[[], Answer]) -> Answer:
    """The recorded answer. The first time `work` gives it, and its effects are in the same transaction."""
    if db.execute(CLAIM, (step, kind)).rowcount:
        db.execute(RECORD, (*work(), step, kind))
    status, body = db.execute(RECALL, (step, kind)).fetchone()
    return status, body


def act(db: sqlite3.Connection, step: str, work: Work, data: Any) -> Answer:
    return once(db, step, "action", lambda: attempt(db, work, data))


def undo(db: sqlite3.Connection, step: str, work: Work, data: Any) -> Answer:
    """Answers for an action that never arrived, too: should it still come, it finds that answer and does nothing."""
    status, _ = once(db, step, "action", lambda: problem(410, "undone before it arrived"))
    if status >= 300:
        return 200, "null"  # nothing was done, so there is nothing to undo
    return once(db, step, "compensation", lambda: (200, json.dumps(work(db, data))))


def attempt(db: sqlite3.Connection, work: Work, data: Any) -> Answer:
    """Do it or refuse it. A refusal is an answer and is recorded; any other exception is none and undoes all."""
    db.execute("SAVEPOINT effects")
    try:
        return 200, json.dumps(work(db, data))
    except Refused as refused:
        db.execute("ROLLBACK TO effects")
        return problem(422, str(refused))


def problem(status: int, detail: str) -> Answer:
    """A problem detail (RFC 9457). Its `detail` is what the sidecar takes as the reason."""
    return status, json.dumps({"status": status, "detail": detail})


def need(data: Any, **kinds: type) -> None:
    """Refuse what lacks one of these fields, or has one of another type."""
    if not isinstance(data, dict):
        raise Refused("INVALID: expected an object")
    if wrong := [name for name, kind in kinds.items() if type(data.get(name)) is not kind]:
        raise Refused(f"INVALID: missing, or of the wrong type: {', '.join(wrong)}")


def reason(undo: Any) -> str:
    """Why the saga was aborted, from the body of a compensation. (One with a `body` of its own may send text.)"""
    cause = undo["cause"]
    return cause.get("reason", "") if isinstance(cause, dict) else str(cause)


# -- a participant, and the server that it runs in -----------------------------------------------------------------


class Participant:
    """A service: its tables, and what it does on which path."""

    def __init__(self, name: str, tables: str) -> None:
        self.name = name
        self.tables = tables
        self.actions: dict[str, Work] = {}
        self.compensations: dict[str, Work] = {}

    def action(self, path: str) -> Callable[[Work], Work]:
        return lambda work: self.actions.setdefault(path, work)

    def compensation(self, path: str) -> Callable[[Work], Work]:
        return lambda work: self.compensations.setdefault(path, work)


class Server(ThreadingHTTPServer):
    """One participant on one port of this host, with one database. What follows `host` is for tests."""

    request_queue_size = 128
    daemon_threads = False  # `server_close` waits for the connections

    def __init__(
        self,
        participant: Participant,
        path: str,
        port: int = 0,
        *,
        host: str = "127.0.0.1",
        slow: float = 0,
        hang_every: int = 0,
        crash_after_commit: int = 0,
    ) -> None:
        self.participant, self.path = participant, path
        self.slow, self.hang_every, self.commits_to_crash = slow, hang_every, crash_after_commit
        self.calls = itertools.count(1)
        self.connections: set[socket.socket] = set()
        self.turn = threading.Lock()  # SQLite has one writer at a time: waiting in line here is faster than its polling
        db = self.connect()
        db.executescript("PRAGMA journal_mode = WAL;" + TABLE + participant.tables)
        db.close()
        super().__init__((host, port), Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.connections.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        """Finish what has arrived: each connection answers that, and then finds that nothing more can come."""
        for connection in list(self.connections):
            with contextlib.suppress(OSError):  # it has just ended by itself
                connection.shutdown(socket.SHUT_RD)
        super().server_close()

    def connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, timeout=30, isolation_level=None)
        db.execute("PRAGMA synchronous = FULL")  # an answer that was given survives a power cut
        return db

    def call(self, db: sqlite3.Connection, path: str, key: str, body: bytes) -> Answer:
        step, _, kind = key.strip('"').rpartition("/")  # a structured-field string: the quotes are not part of the key
        if kind not in ("action", "compensation"):
            return problem(400, f"no idempotency key of a saga: {key!r}")
        fence, works = (act, self.participant.actions) if kind == "action" else (undo, self.participant.compensations)
        if path not in works:  # as every framework says it: the sidecar calls again, and asks whether the path is right
            return problem(404, f"{self.participant.name} has no {kind} at {path}")
        data = json.loads(body)
        with self.turn:
            before = db.total_changes
            with db:  # commits, or rolls back if anything is raised
                db.execute("BEGIN IMMEDIATE")
                answer = fence(db, step, works[path], data)
            if kind == "action" and db.total_changes > before:
                self.crash_when_due()
        time.sleep(self.slow)
        return answer

    def hangs(self, key: str) -> bool:
        """Whether this call is one that is left without an answer. Only actions are."""
        return bool(self.hang_every) and key.strip('"').endswith("/action") and next(self.calls) % self.hang_every == 0

    def crash_when_due(self) -> None:
        self.commits_to_crash -= 1
        if self.commits_to_crash == 0:
            os._exit(1)

    def state(self, db: sqlite3.Connection) -> dict[str, Any]:
        """All tables but the fence, as `{table: {first column: row}}`."""
        names = "SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'answers'"
        return {name: rows(db.execute(f"SELECT * FROM {name}")) for (name,) in db.execute(names).fetchall()}


def rows(cursor: sqlite3.Cursor) -> dict[str, Any]:
    columns = [column for column, *_ in cursor.description]
    return {str(row[0]): dict(zip(columns, row, strict=True)) for row in cursor}


class Handler(BaseHTTPRequestHandler):
    """A connection: one thread, one database connection, any number of requests."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else keep-alive costs 40 ms a request
    server: Server

    def setup(self) -> None:
        super().setup()
        self.db = self.server.connect()

    def finish(self) -> None:
        self.db.close()
        super().finish()

    def do_GET(self) -> None:
        if self.path == "/":
            self.answer(200, json.dumps(self.server.state(self.db)))
        else:
            self.answer(*problem(404, "the state of this service is at /"))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        key = self.headers.get("Idempotency-Key", "")
        try:
            answer = self.server.call(self.db, self.path, key, body)
        except Exception as error:  # whatever it was, it was rolled back: the sidecar calls again
            print(f"{self.server.participant.name} {self.path}: {error!r}", file=sys.stderr, flush=True)
            answer = problem(500, str(error))
        if self.server.hangs(key):
            print(f"{self.server.participant.name} {self.path}: left unanswered", file=sys.stderr, flush=True)
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.rfile.read(1)  # until the caller gives up
            return
        self.answer(*answer)

    def answer(self, status: int, body: str) -> None:
        content = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json" if status < 300 else "application/problem+json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing: the sidecar's log tells of each call."""


def main(*participants: Participant) -> None:
    """Run the one of them that the command line names, until SIGTERM or Ctrl-C; then finish the calls that run."""
    named = {participant.name: participant for participant in participants}
    parser = argparse.ArgumentParser(description="A service of this example.")
    parser.add_argument("participant", choices=named)
    parser.add_argument("--port", type=int, default=0, help="0 (default): any free one; see the line that is printed")
    parser.add_argument("--host", default="127.0.0.1", help="where to listen; in a pod 0.0.0.0, for its probes")
    parser.add_argument("--db", help="SQLite file; default: <participant>.db")
    parser.add_argument("--slow", type=float, default=0, metavar="SECONDS", help="wait before each answer to a POST")
    parser.add_argument(
        "--hang-every",
        type=int,
        default=0,
        metavar="N",
        help="do, but never answer, every N-th action",
    )
    parser.add_argument(
        "--crash-after-commit", type=int, default=0, metavar="N", help="die after the N-th action, done but unanswered"
    )
    options = parser.parse_args()
    path = options.db or f"{options.participant}.db"
    faults = {name: getattr(options, name) for name in ("slow", "hang_every", "crash_after_commit")}
    with Server(named[options.participant], path, options.port, host=options.host, **faults) as server:
        for number in (signal.SIGTERM, signal.SIGINT):
            # `shutdown` waits for `serve_forever`, which is what a signal interrupts: hence a thread.
            signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
        print(f"listening on http://{options.host}:{server.server_port}", flush=True)
        server.serve_forever(poll_interval=0.1)
