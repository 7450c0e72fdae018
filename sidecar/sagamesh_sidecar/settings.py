"""Everything that can be set about a sidecar, each with its unit and its reason. Read from the environment once."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, fields
from urllib.parse import urlsplit

from sagamesh.errors import SettingsError
from sagamesh.text import is_label

PREFIX = "SAGAMESH_"


@dataclass(frozen=True, slots=True, kw_only=True)
class SidecarSettings:
    """One sidecar.

    `namespace`, `participant`: whose rules it carries out. `pod`: who it is among its replicas, for people.
    `nats`: URL of the server. `nats_dir`: directory with the login, or empty (see `sagamesh_jetstream.client.login`).
    `app`: URL of the participant's service. `api_port`, `health_port`: 0 takes a free one;
    the API listens on loopback only, health and metrics on `health_host`.
    `concurrency`: deliveries of one saga in hand at once, and connections to the app.
    `ack_wait`: seconds after which the server hands a delivery to somebody else; the consumers' own setting.
    `poll`: seconds between looks for new rules; a push usually comes first.
    `grace`: seconds that running calls may take at shutdown before their deliveries are given back.
    `state_dir`: directory in which the last good rules are kept, for a start without NATS; empty: they are not.
    `ready_file`: written once rules are read, with the URLs of API and health as JSON; for whoever chose port 0.
    """

    namespace: str
    participant: str
    nats: str = "nats://127.0.0.1:4222"
    nats_dir: str = ""
    app: str = "http://127.0.0.1:8080"
    pod: str = ""
    api_port: int = 3650
    health_host: str = "0.0.0.0"  # probes and Prometheus come from outside of the pod
    health_port: int = 3651
    concurrency: int = 32
    ack_wait: float = 10.0
    poll: float = 15.0
    grace: float = 20.0
    log_level: str = "info"
    state_dir: str = ""
    ready_file: str = ""


def from_environment(environment: Mapping[str, str] = os.environ) -> SidecarSettings:
    """Settings from `SAGAMESH_...` variables. Raises SettingsError that names what is missing or wrong."""

    def text(name: str, default: str | None = None) -> str:
        value = environment.get(PREFIX + name, default)
        if value is None:
            raise SettingsError(f"{PREFIX}{name} is not set")
        return value

    def number(name: str, default: float, least: float, most: float) -> float:
        given = text(name, str(default))
        try:
            value = float(given)
        except ValueError:
            raise SettingsError(f"{PREFIX}{name} is {given!r}; it must be a number") from None
        if not least <= value <= most:
            raise SettingsError(f"{PREFIX}{name} is {given}; it must be from {least:g} to {most:g}")
        return value

    def label(name: str) -> str:
        value = text(name)
        if not is_label(value):
            raise SettingsError(f"{PREFIX}{name} is {value!r}; it must be a DNS label, such as 'payments'")
        return value

    def url(name: str, scheme: str, default: str) -> str:
        value = text(name, default)
        for one in value.split(","):
            if not _is_url(one, scheme):
                raise SettingsError(f"{PREFIX}{name} is {value!r}; write it as in {default}")
        return value

    return SidecarSettings(
        namespace=label("NAMESPACE"),
        participant=label("PARTICIPANT"),
        nats=url("NATS", "nats tls", "nats://127.0.0.1:4222"),
        nats_dir=text("NATS_DIR", ""),
        app=url("APP", "http", "http://127.0.0.1:8080"),
        pod=text("POD", socket.gethostname()),
        api_port=int(number("API_PORT", 3650, 0, 65535)),
        health_host=text("HEALTH_HOST", "0.0.0.0"),
        health_port=int(number("HEALTH_PORT", 3651, 0, 65535)),
        concurrency=int(number("CONCURRENCY", 32, 1, 256)),
        poll=number("POLL", 15.0, 0.1, 3600.0),
        grace=number("GRACE", 20.0, 0.0, 600.0),
        log_level=_level(text("LOG_LEVEL", "info")),
        state_dir=text("STATE_DIR", ""),
        ready_file=text("READY_FILE", ""),
    )


def _is_url(text: str, schemes: str) -> bool:
    """Whether a text is the address of a server; NATS has a port of its own, an app has none."""
    try:
        parts = urlsplit(text)
        port = parts.port or (4222 if parts.scheme != "http" else 0)
    except ValueError:
        return False
    return parts.scheme in schemes.split() and bool(parts.hostname) and bool(port) and parts.path in ("", "/")


def _level(name: str) -> str:
    if name.upper() not in logging.getLevelNamesMapping():
        raise SettingsError(f"{PREFIX}LOG_LEVEL is {name!r}; it must be debug, info, warning or error")
    return name


def to_environment(settings: SidecarSettings) -> dict[str, str]:
    """The variables that `from_environment` reads the same settings from."""
    given = {field.name: getattr(settings, field.name) for field in fields(settings)}
    return {PREFIX + name.upper(): str(value) for name, value in given.items() if name != "ack_wait"}
