"""Everything that can be set about the operator. Read from the environment once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from sagamesh.errors import SettingsError

PREFIX = "SAGAMESH_"
LEVELS = ("debug", "info", "warning")


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorSettings:
    """`nats`: URL of the server; several are separated by commas.

    `nats_dir`: directory with the login, as `sagamesh_jetstream.client.login` describes it; empty: none.
    `installation`: whose streams are ours; empty: the cluster's own identity. Set it to the old one where a new cluster
    takes over a NATS account. `resync`: seconds between two looks at all Sagas, beside the watch.
    `http_host`, `http_port`: where `/metrics`, `/livez` and `/readyz` are served.
    """

    nats: str
    nats_dir: str = ""
    installation: str = ""
    http_host: str = "0.0.0.0"  # probes and Prometheus come from outside of the pod
    http_port: int = 8080
    resync: int = 60
    log_level: str = "info"


def port(name: str, value: str, *, such_as: int) -> int:
    """The number of a port. Raises SettingsError."""
    if not (value.isascii() and value.isdigit() and int(value) < 65536):
        raise SettingsError(f"{PREFIX}{name} is {value!r}; it must be a port, such as {such_as}")
    return int(value)


def one_of(name: str, value: str, values: tuple[str, ...]) -> str:
    """The value, which is one of these. Raises SettingsError."""
    if value not in values:
        raise SettingsError(f"{PREFIX}{name} is {value!r}; it must be {', '.join(values[:-1])} or {values[-1]}")
    return value


def from_environment(environment: Mapping[str, str] = os.environ) -> OperatorSettings:
    """Settings from `SAGAMESH_...` variables. Raises SettingsError."""

    def text(name: str, default: str) -> str:
        return environment.get(PREFIX + name, default)

    nats = text("NATS", "")
    if not nats:
        raise SettingsError(f"{PREFIX}NATS is not set; write it as in nats://nats.nats.svc:4222")
    http_port = port("HTTP_PORT", text("HTTP_PORT", "8080"), such_as=8080)
    resync = text("RESYNC", "60")
    if not (resync.isascii() and resync.isdigit() and 1 <= int(resync) <= 3600):
        raise SettingsError(f"{PREFIX}RESYNC is {resync!r}; it must be seconds, from 1 to 3600")
    log_level = one_of("LOG_LEVEL", text("LOG_LEVEL", "info"), LEVELS)
    return OperatorSettings(
        nats=nats,
        nats_dir=text("NATS_DIR", ""),
        installation=text("INSTALLATION", ""),
        http_host=text("HTTP_HOST", "0.0.0.0"),
        http_port=http_port,
        resync=int(resync),
        log_level=log_level,
    )
