"""Starts sagas for `demo` and the examples, while what they send to is being killed: again, until it was taken."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from typing import Any

from sagamesh_cli.errors import EnvironmentFault

TURNS = 20
TIMEOUT = 10.0


async def send(api: str, event: str, key: str, data: dict[str, Any]) -> None:
    """Send an event that starts a saga. A start that is unknown is sent again, which is safe."""
    for turn in range(TURNS):
        if await asyncio.to_thread(_post, api, event, key, data):
            return
        await asyncio.sleep(min(2.0, 0.1 * 2**turn))
    raise EnvironmentFault(f"{event} {key} could not be started at {api}")


def _post(api: str, event: str, key: str, data: dict[str, Any]) -> bool:
    document = {"specversion": "1.0", "id": key, "source": "/demo", "type": event, "data": data}
    request = urllib.request.Request(
        f"{api}/v1/events",
        data=json.dumps(document).encode(),
        headers={"Content-Type": "application/cloudevents+json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT):
            return True
    except OSError:  # nobody was there, or refused it
        return False
