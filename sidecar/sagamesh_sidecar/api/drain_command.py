"""`sagamesh-sidecar drain`: asks the running sidecar of this pod to drain, and returns when it has. For preStop.

It asks by HTTP at the API's port, since that is on loopback, always there, and guarded against browsers already; a
socket in the state directory would be no safer from the app, which shares the pod, and not every sidecar has such a
directory. An app that called it would only stop its own pod's deliveries, and `/readyz` would say so.

It runs beside the sidecar, within the same limit of memory: hence the standard library, and nothing else of ours.
"""

from __future__ import annotations

import http.client
import json
import time

from sagamesh.errors import SettingsError
from sagamesh_sidecar.errors import DrainError, NoSidecarError
from sagamesh_sidecar.settings import SidecarSettings

PATH = "/v1/drain"
MARGIN = 10.0
"""Seconds beyond the sidecar's own grace: for what is given back to let go, and the answer to come."""
PAUSE = 0.2
"""Seconds until a sidecar that was too busy to answer is asked again: short beside the grace, and no load."""


def drain(settings: SidecarSettings) -> int:
    """How many deliveries were given back unfinished. Raises DrainError and NoSidecarError."""
    if not settings.api_port:
        raise SettingsError("SAGAMESH_API_PORT is 0: nobody knows where the sidecar listens")
    until = time.monotonic() + settings.grace + MARGIN
    why_not = ""
    while (left := until - time.monotonic()) > 0:
        try:
            return _ask(settings.api_port, left)
        except ConnectionRefusedError as error:
            raise NoSidecarError(f"no sidecar listens on 127.0.0.1 port {settings.api_port}") from error
        except (OSError, http.client.HTTPException, DrainError) as error:
            why_not = str(error) or type(error).__name__
        time.sleep(min(PAUSE, max(0.0, until - time.monotonic())))
    raise DrainError(f"not drained within {settings.grace + MARGIN:g} seconds: {why_not}")


def _ask(port: int, seconds: float) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    try:
        connection.request("POST", PATH)
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    if response.status != http.client.OK:
        raise DrainError(f"the sidecar answered {response.status}")
    return int(json.loads(body)["givenBack"])
