"""Everything that can be set about the injector. Read from the environment once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal, get_args

from sagamesh import durations
from sagamesh.environment import Environment, variable
from sagamesh.errors import SettingsError
from sagamesh_operator.injection.certificates import Schedule
from sagamesh_operator.settings import NATS_EXAMPLE

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
    certificate_lifetime: str = "2160h"  # 90 days, as those of cert-manager
    webhook_host: str = "0.0.0.0"
    webhook_port: int = 10250  # one of the few that the API servers of private clusters may reach
    http_host: str = "0.0.0.0"
    http_port: int = 8080  # as the operator's
    linger: str = "5s"  # an API server learns within a second or two that an endpoint is gone
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
    read = Environment(environment, InjectorSettings)
    directory = read.text("certificate_dir")
    if directory and not Path(directory).is_dir():
        raise SettingsError(f"{variable('certificate_dir')} is {directory!r}, which is no directory")
    kept = read.text if directory else read.needed  # needed only where the certificates are its own
    return InjectorSettings(
        sidecar_image=read.text("sidecar_image"),
        nats=read.text("nats", such_as=NATS_EXAMPLE),
        nats_secret=read.text("nats_secret"),
        native_sidecar=read.one_of("native_sidecar", get_args(Native)),
        namespace=read.text("namespace"),
        service=read.text("service"),
        webhook=kept("webhook"),
        ca_secret=kept("ca_secret"),
        certificate_dir=directory,
        certificate_lifetime=read.duration("certificate_lifetime"),
        webhook_host=read.text("webhook_host"),
        webhook_port=read.port("webhook_port"),
        http_host=read.text("http_host"),
        http_port=read.port("http_port"),
        linger=read.duration("linger"),
        log_level=read.log_level(),
    )
