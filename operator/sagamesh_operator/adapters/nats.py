"""JetStream over nats-py: raw requests with raw JSON, and every way to fail as one of the port's two errors."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg

import nats
from sagamesh_operator.ports import ApiRefused, Document, UnavailableError

log = logging.getLogger(__name__)

TIMEOUT = 10.0
"""Seconds. A cluster that has lost a stream's leader answers again after four to eight."""

TOO_LARGE = 10054


class NatsJetStream:
    """The port `JetStream` over a client that is connected already; `connect` makes both."""

    def __init__(self, client: Client, timeout: float = TIMEOUT) -> None:
        self._client = client
        self._timeout = timeout

    async def api(self, verb: str, body: Document | None = None) -> Document:
        return await self._ask(f"$JS.API.{verb}", json.dumps(body).encode() if body else b"", verb)

    async def publish(self, subject: str, body: bytes) -> int:
        sequence: int = (await self._ask(subject, body, f"the message {subject}"))["seq"]
        return sequence

    async def _ask(self, subject: str, body: bytes, asked: str) -> Document:
        message = await self._request(subject, body, asked)
        try:
            reply: Document = json.loads(message.data)
        except ValueError:
            raise UnavailableError(f"what answered {asked} is not JetStream: {message.data[:100]!r}") from None
        if error := reply.get("error"):
            raise ApiRefused(
                asked, error["code"], error.get("err_code", 0), error.get("description", "no reason given")
            )
        return reply

    async def _request(self, subject: str, body: bytes, asked: str) -> Msg:
        before = self._client.last_error
        try:
            return await self._client.request(subject, body, timeout=self._timeout)
        except nats.errors.MaxPayloadError as error:
            raise ApiRefused(asked, 400, TOO_LARGE, "it is larger than the server takes") from error
        except nats.errors.NoRespondersError as error:
            raise UnavailableError(
                f"nobody at NATS takes {asked}: JetStream is off, has no such stream, or has no leader just now"
            ) from error
        except nats.errors.TimeoutError as error:
            # A missing permission is silence, too; its reason comes another way, and perhaps belongs to this request.
            reason = self._client.last_error
            hint = f"; meanwhile the server said: {reason}" if reason is not before else ""
            raise UnavailableError(f"NATS did not answer {asked} within {self._timeout:g} s{hint}") from error
        except nats.errors.Error as error:
            raise UnavailableError(f"NATS cannot be reached for {asked}: {_words(error)}") from error


@asynccontextmanager
async def connect(url: str, *, timeout: float = TIMEOUT, **options: Any) -> AsyncIterator[NatsJetStream]:
    """Connected for as long as the block lasts. Raises UnavailableError.

    `url`: of one server, or of several, separated by commas. `options` are nats-py's.
    """
    client = Client()
    try:
        await _open(client, url, timeout, options)
        yield NatsJetStream(client, timeout)
    finally:
        with suppress(OSError, nats.errors.Error, AssertionError):  # the last: a client that never began to connect
            await client.close()


async def _open(client: Client, url: str, timeout: float, options: dict[str, Any]) -> None:
    try:
        async with asyncio.timeout(timeout):  # nats-py alone would try a dead port for two minutes
            await client.connect(
                url.split(","),
                name="sagamesh-operator",
                max_reconnect_attempts=-1,
                pending_size=0,  # what cannot be sent now fails now, instead of surprising somebody later
                error_cb=_note,
                **options,
            )
    except (OSError, nats.errors.Error) as error:  # a timeout is an OSError
        raise UnavailableError(f"NATS at {url} cannot be reached: {_words(client.last_error or error)}") from error


async def _note(error: Exception) -> None:
    """For those who look closer: a request that fails says it itself. Must not raise, or the client stops reading."""
    log.info("NATS: %s", _words(error))


def _words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "nothing there answers as a NATS server does"
    return str(error) or type(error).__name__
