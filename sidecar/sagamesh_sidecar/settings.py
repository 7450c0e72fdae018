"""Everything that can be set about a sidecar, each with its unit and its reason. Read from the environment once."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, fields

from sagamesh.environment import MOST_CONCURRENCY, Environment, variable

APP_EXAMPLE = "http://127.0.0.1:8080"
"""How the app's URL is written: an app lies beside its sidecar."""
SHORTEST_POLL, LONGEST_POLL = 0.1, 3600.0
"""Seconds: from what tests need, to an hour, after which rules would be news to nobody."""
LONGEST_GRACE = 600.0
"""Seconds: ten minutes are more than pods are given to end, and longer ones were meant in another unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SidecarSettings:
    """One sidecar.

    `namespace`, `participant`: whose rules it carries out. `pod`: who it is among its replicas, for people.
    `nats`: URL of the server. `nats_dir`: directory with the login, or empty (see `sagamesh_jetstream.client.login`).
    `app`: URL of the participant's service; empty: there is none to call, as where sagas are only started.
    `api_port`, `health_port`: 0 takes a free one; the API is on loopback only, health and metrics on `health_host`.
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
    app: str = ""
    pod: str = ""
    api_port: int = 3650  # this and the next are of our choice, away from where apps like to listen
    health_host: str = "0.0.0.0"  # probes and Prometheus come from outside of the pod
    health_port: int = 3651
    concurrency: int = 32  # more than an app's own pool of workers usually has
    ack_wait: float = 10.0
    poll: float = 15.0  # so that rules are late by that much at most where a push was lost
    grace: float = 20.0  # with ten seconds of `drain` on top: what Kubernetes gives a pod, if nobody says otherwise
    log_level: str = "info"
    state_dir: str = ""
    ready_file: str = ""


def from_environment(environment: Mapping[str, str] = os.environ) -> SidecarSettings:
    """Settings from `SAGAMESH_...` variables. Raises SettingsError that names what is missing or wrong."""
    read = Environment(environment, SidecarSettings)
    return SidecarSettings(
        namespace=read.label("namespace"),
        participant=read.label("participant"),
        nats=read.urls("nats", "nats", "tls"),
        nats_dir=read.text("nats_dir"),
        app=read.urls("app", "http", such_as=APP_EXAMPLE),
        pod=read.text("pod") or socket.gethostname(),
        api_port=read.port("api_port"),
        health_host=read.text("health_host"),
        health_port=read.port("health_port"),
        concurrency=int(read.number("concurrency", 1, MOST_CONCURRENCY)),
        poll=read.number("poll", SHORTEST_POLL, LONGEST_POLL),
        grace=read.number("grace", 0, LONGEST_GRACE),
        log_level=read.log_level(),
        state_dir=read.text("state_dir"),
        ready_file=read.text("ready_file"),
    )


def to_environment(settings: SidecarSettings) -> dict[str, str]:
    """The variables that `from_environment` reads the same settings from."""
    given = {field.name: getattr(settings, field.name) for field in fields(settings)}
    return {variable(name): str(value) for name, value in given.items() if name != "ack_wait"}
