"""Everything that can be set about the operator. Read from the environment once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from sagamesh.errors import SagameshError

PREFIX = "SAGAMESH_"


class SettingsError(SagameshError):
    """A variable is missing or wrong; the message says which and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """`nats`: URL of the server; several are separated by commas.

    `nats_dir`: directory with the login, as `sagamesh_login` describes it; empty: none.
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


def from_environment(environment: Mapping[str, str] = os.environ) -> Settings:
    """Settings from `SAGAMESH_...` variables. Raises SettingsError."""

    def text(name: str, default: str) -> str:
        return environment.get(PREFIX + name, default)

    nats = text("NATS", "")
    if not nats:
        raise SettingsError(f"{PREFIX}NATS is not set; write it as in nats://nats.nats.svc:4222")
    port = text("HTTP_PORT", "8080")
    if not (port.isascii() and port.isdigit() and int(port) < 65536):
        raise SettingsError(f"{PREFIX}HTTP_PORT is {port!r}; it must be a port, such as 8080")
    resync = text("RESYNC", "60")
    if not (resync.isascii() and resync.isdigit() and 1 <= int(resync) <= 3600):
        raise SettingsError(f"{PREFIX}RESYNC is {resync!r}; it must be seconds, from 1 to 3600")
    level = text("LOG_LEVEL", "info")
    if level not in ("debug", "info", "warning"):
        raise SettingsError(f"{PREFIX}LOG_LEVEL is {level!r}; it must be debug, info or warning")
    return Settings(
        nats=nats,
        nats_dir=text("NATS_DIR", ""),
        installation=text("INSTALLATION", ""),
        http_host=text("HTTP_HOST", "0.0.0.0"),
        http_port=int(port),
        resync=int(resync),
        log_level=level,
    )
