"""What is published on a subject of core NATS, for whoever wants to hear of it. Lossy: nothing is asked for again."""

from __future__ import annotations

import logging
from collections.abc import Callable

from nats.aio.client import Client
from nats.aio.msg import Msg

logger = logging.getLogger(__name__)

Heard = Callable[[str, bytes], None]
"""Takes subject and body. Called by the task that reads: it must not wait."""


class Listener:
    """A part of a connection: one subject, which may have wildcards."""

    def __init__(self, subject: str, heard: Heard) -> None:
        self._subject = subject
        self._heard = heard

    async def opened(self, client: Client) -> None:
        await client.subscribe(self._subject, cb=self._on_message)

    def lost(self) -> None:
        """Nothing was promised."""

    async def _on_message(self, message: Msg) -> None:
        try:
            self._heard(message.subject, message.data)
        except Exception:
            logger.exception("%s: the listener raised", message.subject)
