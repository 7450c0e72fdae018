"""Everything that can be set about the operator. Read from the environment once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from sagamesh.environment import Environment

NATS_EXAMPLE = "nats://nats.nats.svc:4222"
"""Where NATS is when it was installed by its own chart, under the name that its page gives it."""
LONGEST_RESYNC = 3600
"""Seconds: in an hour a watch that has died would be missed by people."""


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
    http_port: int = 8080  # of many operators, since it needs no rights
    resync: int = 60  # one list a minute is nothing to an API server, and the watch tells of nearly everything at once
    log_level: str = "info"


def from_environment(environment: Mapping[str, str] = os.environ) -> OperatorSettings:
    """Settings from `SAGAMESH_...` variables. Raises SettingsError."""
    read = Environment(environment, OperatorSettings)
    return OperatorSettings(
        nats=read.text("nats", such_as=NATS_EXAMPLE),
        nats_dir=read.text("nats_dir"),
        installation=read.text("installation"),
        http_host=read.text("http_host"),
        http_port=read.port("http_port"),
        resync=read.whole_seconds("resync", 1, LONGEST_RESYNC),
        log_level=read.log_level(),
    )
