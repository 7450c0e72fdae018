"""Options and arguments that several commands share: an instance, its API, the form of the output, where others listen.

Addresses that are none are told in one sentence. Options of a cluster are in `cluster`, those of waiting in `waiting`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated
from urllib.parse import urlsplit

import typer

from sagamesh.environment import LAST_PORT
from sagamesh.text import whole
from sagamesh_cli.output import Complaint, OutputFormat

SagaName = Annotated[str, typer.Argument(metavar="SAGA", help="The saga's name.", show_default=False)]
InstanceId = Annotated[str, typer.Argument(metavar="ID", help="The instance's id.", show_default=False)]
Url = Annotated[
    str, typer.Option(envvar="SAGAMESH_URL", metavar="URL", help="The API of any participant that takes part.")
]
Output = Annotated[OutputFormat, typer.Option("-o", "--output", help="How to show it.")]
NatsDir = Annotated[
    str,
    typer.Option(
        envvar="SAGAMESH_NATS_DIR",
        metavar="DIR",
        help="The directory with the login of that NATS, as sidecars have it.",
        show_default="none",
    ),
]


def pairs(option: str, given: list[str] | None, example: str) -> Iterator[tuple[str, str]]:
    for text in given or ():
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise Complaint(f"{option} {text}: write it as in {option} {example}")
        yield name, value


def service(name: str, url: str) -> str:
    from sagamesh_sidecar.adapters.app_client import parse_url  # noqa: PLC0415 - `trace` need not wait for it

    try:
        parse_url(url)
    except ValueError:
        example = f"--app {name}=http://127.0.0.1:9001"
        raise Complaint(f"--app {name}={url}: write the service's address with its port, as in {example}") from None
    return url.rstrip("/")


def server(url: str) -> str:
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("nats", "tls", "ws", "wss") and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if url and not good:
        raise Complaint(f"--nats {url}: write the server's address, as in --nats nats://127.0.0.1:4222")
    return url


def port(name: str, text: str) -> int:
    if (number := whole(text, 0, LAST_PORT)) is None:
        raise Complaint(f"--api {name}={text}: a port is a number from 0 to {LAST_PORT}")
    return number
