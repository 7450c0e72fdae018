"""What `helm test` runs: is everything there, and does a small saga complete?

All services, given as `host:port`, are to be ready, and the operator, the first, is to reach NATS. Then the saga of
templates/tests/saga.yaml is started, whose one participant is this program, with a sidecar as its child, set by the
variables of this pod. Each question is asked again for a minute before it fails, for a node on which all this was just
installed is busy; each new reason is printed as it comes. The injector is asked whether it is ready, and no more.
"""

import http.server
import json
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable

PATIENCE, PAUSE = (float(os.environ.get(name, seconds)) for name, seconds in (("PATIENCE", "60"), ("PAUSE", "1")))
"""Seconds for which each question is asked again, and between two times."""
API = f"http://127.0.0.1:{os.environ.get('SAGAMESH_API_PORT', '3650')}"
EVENT = {
    "specversion": "1.0",
    "type": "sagamesh.test.asked",
    "source": "/helm/test",
    "id": f"test-{time.time_ns():x}",
    "data": {},
}


class NotYet(Exception):  # noqa: N818 - a state, which passes
    """Why not, in words."""


def ask_again(what: str, question: Callable[[], str]) -> None:
    """Until it is answered; ends the test where that takes too long."""
    until, told = time.monotonic() + PATIENCE, ""
    while True:
        try:
            answer = question()
        except urllib.error.HTTPError as error:
            why = f"{error.code} {detail(error.read().decode(errors='replace'))}"
        except (OSError, ValueError, LookupError, NotYet) as error:
            why = str(error) or type(error).__name__
        else:
            print(f"{what}: {answer}", flush=True)
            return
        if why != told:
            print(f"{what}: not yet: {why}", flush=True)
            told = why
        if time.monotonic() >= until:
            sys.exit(f"{what}: for {PATIENCE:g} seconds: {why}")
        time.sleep(PAUSE)


def read(url: str, body: object = None) -> str:
    headers = {"content-type": "application/cloudevents+json"}
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=15) as answer:
        return answer.read().decode()


def detail(body: str) -> str:
    """The sentence of an answer that is an error: of a probe all of it, of the sidecar's API one field."""
    try:
        return str(json.loads(body)["detail"])
    except (ValueError, LookupError, TypeError):
        return body.strip()


def nats(operator: str) -> str:
    if "\nsagamesh_operator_nats_connected 1.0\n" not in read(f"http://{operator}/metrics"):
        raise NotYet("NATS does not answer the operator; its log says why")
    return "connected"


def saga(sidecar: "subprocess.Popen[bytes]") -> str:
    """The same event each time, so it is one instance."""
    if sidecar.poll() is not None:
        sys.exit(f"the sidecar ended with {sidecar.returncode}")
    instance = json.loads(read(f"{API}/v1/events?wait=10s", EVENT))["instances"][0]["instance"]
    if instance["state"] != "completed":
        failing = [f"{step['name']}: {step['reason']}" for step in instance["steps"] if step.get("reason")]
        raise NotYet(", ".join([f"it is {instance['state']}", *failing]))
    return f"completed, with {len(instance['steps'])} steps"


class App(http.server.BaseHTTPRequestHandler):
    """The participant: it does nothing, and says that it is done."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", "0")))
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - its own names
        """Calls are nothing to tell."""


def main() -> None:
    for service in sys.argv[1:]:
        ask_again(service, lambda service=service: read(f"http://{service}/readyz").strip())  # type: ignore[misc]
    ask_again("NATS", lambda: nats(sys.argv[1]))
    app = http.server.ThreadingHTTPServer(("127.0.0.1", 0), App)
    threading.Thread(target=app.serve_forever, daemon=True).start()
    where = {"SAGAMESH_APP": f"http://127.0.0.1:{app.server_port}"}
    sidecar = subprocess.Popen(["sagamesh-sidecar"], env={**os.environ, **where})
    try:
        ask_again("a saga", lambda: saga(sidecar))
    finally:  # in order, so that nobody takes it for alive, and the saga goes as soon as it is deleted
        sidecar.terminate()
        sidecar.wait(30)


main()
