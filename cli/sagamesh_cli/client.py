"""A sidecar's API as the command line uses it: start, look, cancel. What people see of it is for `views.instance`.

Every way in which a call can go wrong becomes one sentence here: nobody listens, something else listens, or the API
refuses with a problem document.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import quote, urlsplit

from sagamesh_cli.errors import EnvironmentFault
from sagamesh_cli.output import Complaint, in_line
from sagamesh_jetstream.client.ports import JsonObject

DEFAULT_URL = "http://127.0.0.1:3650"
PATIENCE = 40.0
"""Seconds to answer, beyond a wait that was asked for: the API itself gives the log thirty."""
LONGEST_WAIT = 30.0
"""Seconds of one call, half of what proxies give one by default. A longer wait is several of them."""
MAX_ANSWER = 16 << 20
"""Bytes. An instance of 500 steps, the most, takes less than one MiB: what is larger is no answer of ours."""
TRIES = 20
"""How often `send` tries: with its pauses that is half a minute, in which a killed sidecar is long back."""
PAUSE, LONGEST_PAUSE = 0.1, 2.0
"""Seconds between tries: the first one, doubled each time, and the longest."""
TRY_PATIENCE = 10.0
"""Seconds to answer one such try: a sidecar that is being killed may never answer."""
_HINT = (
    "is `sagamesh dev` running, or a sidecar? Give its address with --url or SAGAMESH_URL (`sagamesh dev` prints them)"
)


class RefusedError(Complaint):
    """The API said no. `status` and `code` are those of its problem document, and `outcome` where it is decided."""

    def __init__(self, status: int, code: str, sentence: str, outcome: object = None) -> None:
        super().__init__(f"{sentence} ({code})" if code else sentence)
        self.status = status
        self.code = code
        self.outcome = outcome
        # the environment is not up to it, the saga is not as wished, or the input is wrong
        self.exit_code = 3 if status >= 500 else 1 if status in (404, 409) else 2


class ApiClient:
    """One participant's API. Any participant of a saga can answer for it."""

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            self._port = parts.port
        except ValueError as error:
            raise Complaint(f"{url!r} is not the address of an API: {error}") from None
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise Complaint(f"{url!r} is not the address of an API; write it as in {DEFAULT_URL}")
        self.url = url.rstrip("/")
        self._host = parts.hostname
        self._class = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._base = parts.path.rstrip("/")

    def start(self, event: str, data: bytes, event_id: str, *, patience: float = PATIENCE) -> list[JsonObject]:
        """Send an event that starts sagas: the instances, as the API answers them.

        `data`: JSON, which is sent as it is, for 1.10 is another text than 1.1, and a service gets to see it.
        """
        attributes = {
            "specversion": "1.0",
            "id": event_id,
            "source": "/sagamesh/cli",
            "type": event,
            "datacontenttype": "application/json",
        }
        document = b'%b, "data": %b}' % (json.dumps(attributes).encode()[:-1], data)
        answer = self._call("POST", "/v1/events", document, "application/cloudevents+json", patience)
        instances = answer.get("instances")
        if not isinstance(instances, list) or not all(isinstance(i, dict) and "id" in i for i in instances):
            raise self._stranger()
        return instances

    def get(self, saga: str, instance: str, wait: float = 0) -> JsonObject:
        """An instance, when it has finished or `wait` seconds have passed."""
        end = time.monotonic() + wait
        while True:
            left = min(LONGEST_WAIT, max(0.0, end - time.monotonic()))
            path = f"{_instance(saga, instance)}?wait={left:.3f}s" if left else _instance(saga, instance)
            answer = self._call("GET", path, patience=left + PATIENCE)
            if is_finished(answer) or time.monotonic() >= end:
                return answer
            time.sleep(min(0.05, wait))  # so that an API that does not wait is not hammered

    def cancel(self, saga: str, instance: str, reason: str) -> JsonObject:
        """Abort an instance; what the API says of it then."""
        return self._call("POST", f"{_instance(saga, instance)}/cancel", json.dumps({"reason": reason}).encode())

    def _call(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        content: str = "application/json",
        patience: float = PATIENCE,
    ) -> JsonObject:
        connection = self._class(self._host, self._port, timeout=patience)
        try:
            headers = {"Accept": "application/json", **({"Content-Type": content} if body is not None else {})}
            connection.request(method, self._base + path, body, headers)
            response = connection.getresponse()
            text = response.read(MAX_ANSWER)
        except TimeoutError:
            raise EnvironmentFault(f"the API at {self.url} did not answer within {patience:g} s; {_HINT}") from None
        except socket.gaierror:
            raise EnvironmentFault(f"there is no host {self._host!r}; {_HINT}") from None
        except (OSError, HTTPException, ValueError) as error:  # ValueError: a name that no host can have
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise EnvironmentFault(f"no API can be reached at {self.url} ({in_line(reason)}); {_HINT}") from None
        finally:
            connection.close()
        return self._read(response.status, text)

    def _read(self, status: int, text: bytes) -> JsonObject:
        try:
            document = json.loads(text or b"{}")
        except (ValueError, RecursionError):
            document = None
        if 200 <= status < 300 and isinstance(document, dict):
            return document
        if 400 <= status < 600 and isinstance(document, dict) and "code" in document:
            raise RefusedError(status, in_line(document["code"]), _sentence(document), document.get("outcome"))
        raise self._stranger(status)

    def _stranger(self, status: int = 200) -> EnvironmentFault:
        return EnvironmentFault(
            f"what listens at {self.url} is not a sidecar's API (it answered {status}, with something else); {_HINT}"
        )


async def send(api: str, event: str, event_id: str, data: Any) -> None:
    """Send an event that starts sagas, while what it is sent to may be killed: again, until it was taken.

    A start that is unknown is sent again, which is safe. Raises EnvironmentFault where it was never taken.
    """
    import asyncio  # noqa: PLC0415 - `demo` needs it, other commands need not wait for it

    client, encoded = ApiClient(api), json.dumps(data).encode()
    for turn in range(TRIES):
        try:
            await asyncio.to_thread(client.start, event, encoded, event_id, patience=TRY_PATIENCE)
        except (RefusedError, EnvironmentFault):
            await asyncio.sleep(min(LONGEST_PAUSE, PAUSE * 2**turn))
        else:
            return
    raise EnvironmentFault(f"{event} {event_id} could not be started at {api}")


def is_finished(instance: Mapping[str, Any]) -> bool:
    """Whether nothing will change any more."""
    return instance.get("state") in ("completed", "compensated")


def _instance(saga: str, instance: str) -> str:
    return f"/v1/sagas/{quote(saga, safe='')}/{quote(instance, safe='')}"


def _sentence(problem: Mapping[str, Any]) -> str:
    return in_line(problem.get("detail") or problem.get("title") or "the API refused")
