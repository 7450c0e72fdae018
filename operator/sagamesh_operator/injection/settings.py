"""Everything that can be set about the injector. Read from the environment once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal, cast, get_args

from sagamesh import durations
from sagamesh.errors import SettingsError
from sagamesh_operator.injection.certificates import Schedule
from sagamesh_operator.settings import LEVELS, PREFIX, one_of, port

Native = Literal["auto", "always", "never"]


@dataclass(frozen=True, slots=True, kw_only=True)
class InjectorSettings:
    """`sidecar_image`, `nats`, `nats_secret`, `native_sidecar`: what sidecars get; `auto` asks the cluster's version.

    `namespace`, `service`: where the injector is served, which its certificate says. `webhook`, `ca_secret`: the names
    of the webhook configuration and of the Secret that it keeps. `certificate_dir`: a directory with `tls.crt` and
    `tls.key` of somebody else, who keeps the webhook, too. `certificate_lifetime`: of a certificate of its own.
    `linger`: seconds for which it goes on after SIGTERM, until no API server sends it anything any more.
    """

    sidecar_image: str
    nats: str
    nats_secret: str = ""
    native_sidecar: Native = "auto"
    namespace: str
    service: str
    webhook: str = ""
    ca_secret: str = ""
    certificate_dir: str = ""
    certificate_lifetime: str = "2160h"  # 90 days
    webhook_host: str = "0.0.0.0"
    webhook_port: int = 10250  # one of the few that the API servers of private clusters may reach
    http_host: str = "0.0.0.0"
    http_port: int = 8080
    linger: str = "5s"
    log_level: str = "info"

    @property
    def dns_name(self) -> str:
        """By which the API server calls it."""
        return f"{self.service}.{self.namespace}.svc"

    @property
    def schedule(self) -> Schedule:
        return Schedule(lifetime=timedelta(seconds=durations.parse(self.certificate_lifetime)))


def from_environment(environment: Mapping[str, str] = os.environ) -> InjectorSettings:
    """Settings from `SAGAMESH_...` variables. Raises SettingsError."""

    def text(name: str, default: str | None = None) -> str:
        value = environment.get(PREFIX + name) or default
        if value is None:
            raise SettingsError(f"{PREFIX}{name} is not set")
        return value

    def duration(name: str, default: str) -> str:
        value = text(name, default)
        try:
            durations.parse(value)
        except ValueError as error:
            raise SettingsError(f"{PREFIX}{name} is {value!r}: {error}") from error
        return value

    directory = text("CERTIFICATE_DIR", "")
    if directory and not Path(directory).is_dir():
        raise SettingsError(f"{PREFIX}CERTIFICATE_DIR is {directory!r}, which is no directory")
    kept = "" if directory else None  # needed only where the certificates are its own
    return InjectorSettings(
        sidecar_image=text("SIDECAR_IMAGE"),
        nats=text("NATS"),
        nats_secret=text("NATS_SECRET", ""),
        native_sidecar=cast("Native", one_of("NATIVE_SIDECAR", text("NATIVE_SIDECAR", "auto"), get_args(Native))),
        namespace=text("NAMESPACE"),
        service=text("SERVICE"),
        webhook=text("WEBHOOK", kept),
        ca_secret=text("CA_SECRET", kept),
        certificate_dir=directory,
        certificate_lifetime=duration("CERTIFICATE_LIFETIME", "2160h"),
        webhook_host=text("WEBHOOK_HOST", "0.0.0.0"),
        webhook_port=port("WEBHOOK_PORT", text("WEBHOOK_PORT", "10250"), such_as=10250),
        http_host=text("HTTP_HOST", "0.0.0.0"),
        http_port=port("HTTP_PORT", text("HTTP_PORT", "8080"), such_as=8080),
        linger=duration("LINGER", "5s"),
        log_level=one_of("LOG_LEVEL", text("LOG_LEVEL", "info"), LEVELS),
    )
