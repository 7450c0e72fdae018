"""On which port the app is called, container by container and port by port; and when that is told as a guess."""

from __future__ import annotations

from typing import Any

import pytest

from sagamesh_jetstream.client.ports import JsonObject
from sagamesh_operator.injection.app_port import PROXIES, AppPort, app_port

Ports = list[JsonObject]
DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"


def tcp(number: int, name: str | None = None) -> JsonObject:
    return {"containerPort": number, "protocol": "TCP"} | ({"name": name} if name else {})


def udp(number: int, name: str | None = None) -> JsonObject:
    return tcp(number, name) | {"protocol": "UDP"}


def found(default: str | None = None, asked: int | None = None, **containers: Ports | None) -> AppPort:
    """Of a pod with these containers, `_` in a name standing for a hyphen."""
    made: list[JsonObject] = [
        {"name": name.replace("_", "-")} | ({} if ports is None else {"ports": ports})
        for name, ports in containers.items()
    ]
    return app_port({"containers": made}, {DEFAULT_CONTAINER: default} if default else {}, asked)


def settled(port: int | None, **given: Any) -> bool:
    """Whether it is that port, and nothing is to be warned of."""
    one = found(**given)
    return (one.port, one.warnings) == (port, ())


def test_what_the_annotation_says_comes_first() -> None:
    assert found(asked=9, default="app", app=[tcp(8080)], other=[tcp(1)]) == AppPort(9)


def test_the_one_port_of_the_one_container() -> None:
    assert found(app=[{"containerPort": 8080}]) == AppPort(8080, "app")
    assert found(envoy=[tcp(8080)]) == AppPort(8080, "envoy"), "what else should it be"


def test_kubernetes_own_annotation_names_the_container() -> None:
    proxied: dict[str, Ports] = {"nginx": [tcp(80)], "app": [tcp(8080)], "exporter": [tcp(9090)]}
    assert found(default="app", **proxied) == AppPort(8080, "app")
    assert settled(4143, default="linkerd-proxy", linkerd_proxy=[tcp(4143)], app=[tcp(8080)])


def test_one_that_names_no_container_is_told_and_nothing_else() -> None:
    one = found(default="web", linkerd_proxy=[tcp(4143)], app=[tcp(8080)])
    told = f"{DEFAULT_CONTAINER} names 'web', which is no container of the pod"
    assert one == AppPort(8080, "app", (told,))


NAMED = (
    "cloud-sql-proxy cloudsql-proxy consul-dataplane daprd envoy istio-proxy kuma-sidecar linkerd-proxy oauth2-proxy "
    "vault-agent"
)


def test_no_proxy_is_known_by_another_name() -> None:
    assert sorted(PROXIES) == NAMED.split()


@pytest.mark.parametrize("proxy", NAMED.split())
def test_known_proxies_are_passed_over(proxy: str) -> None:
    containers: dict[str, Ports] = {proxy: [tcp(4143), tcp(4191)], "app": [tcp(8080)]}
    assert settled(8080, **containers)
    assert settled(8080, **dict(reversed(containers.items())))


def test_only_tcp_counts() -> None:
    assert settled(8080, app=[udp(5353), tcp(8080)])
    assert settled(8080, app=[udp(80, "http"), udp(443, "https"), tcp(8080)])


@pytest.mark.parametrize(
    ("ports", "port"),
    [
        ([tcp(9090, "metrics"), tcp(8080, "http")], 8080),
        ([tcp(9090, "http-metrics"), tcp(8080, "http")], 8080),
        ([tcp(9000, "grpc"), tcp(8080, "http-web")], 8080),
        ([tcp(8443, "https"), tcp(8080, "web")], 8443),
        ([tcp(8080, "web"), tcp(8443, "https")], 8080),
        ([tcp(8443, "https"), tcp(8080, "http1")], 8080),
        ([tcp(8080), tcp(9090)], 8080),
    ],
)
def test_http_comes_first_and_of_equals_the_first_and_a_choice_is_warned_of(ports: Ports, port: int) -> None:
    one = found(app=ports)
    [other] = [each["containerPort"] for each in ports if each["containerPort"] != port]
    told = (
        f"the sidecar calls port {port} of the container app; annotate the pod with sagamesh.dev/app-port: "
        f'"{port}" if that is the app, which could also be at app {other}'
    )
    assert one == AppPort(port, "app", (told,))


def test_another_container_with_a_port_makes_it_a_choice() -> None:
    [told] = found(app=[tcp(8080)], sidekick=[tcp(1)], more=[tcp(2), tcp(3)], envoy=[tcp(4)]).warnings
    assert told.endswith("which could also be at sidekick 1, more 2 and 1 more")
    assert settled(8080, app=[tcp(8080)], sidekick=[udp(1)], more=None)


@pytest.mark.parametrize("ports", [None, [], [udp(53)]])
def test_without_a_port_no_app_is_called_and_none_is_guessed(ports: Ports | None) -> None:
    one = found(app=ports, exporter=[tcp(9090)])
    [told] = one.warnings
    assert (one.port, one.container) == (None, "")
    assert told.startswith("the sidecar calls no app, for the container app names no TCP port; ")
    assert "sagamesh.dev/app-port" in told


def test_a_warning_is_not_cut_by_the_api_server() -> None:
    assert all(len(told) < 256 for told in found(**{"c" * 63: None}).warnings)
