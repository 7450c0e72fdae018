"""Addresses that are none are told in one sentence, with how to write them."""

from __future__ import annotations

import pytest

from sagamesh_cli.options import server, service
from sagamesh_cli.output import Complaint

NO_APPS = ["http://127.0.0.1", "http://127.0.0.1:0", "http://127.0.0.1:99999", "http://[::1", "http://:9", "nonsense"]
NO_APPS += ["https://127.0.0.1:9", "http://127.0.0.1:9/path", "http://127.0.0.1:9?q", "http://a@b:9", "http://h:9#x"]
NO_SERVERS = ["nonsense", "foo://127.0.0.1", "nats://h:none", "nats://["]


@pytest.mark.parametrize("url", NO_APPS)
def test_a_service_has_a_host_and_a_port_and_no_more(url: str) -> None:
    with pytest.raises(Complaint) as raised:
        service("shop", url)
    assert str(raised.value).startswith(f"--app shop={url}: write the service's address with its port, as in --app")


def test_a_service_may_be_written_with_a_slash() -> None:
    assert service("shop", "http://127.0.0.1:9001/") == "http://127.0.0.1:9001"


@pytest.mark.parametrize("url", NO_SERVERS)
def test_a_server_has_a_scheme_of_nats_and_a_host(url: str) -> None:
    with pytest.raises(Complaint) as raised:
        server(url)
    assert str(raised.value) == f"--nats {url}: write the server's address, as in --nats nats://127.0.0.1:4222"


@pytest.mark.parametrize("url", ["", "nats://127.0.0.1", "tls://nats.example.org:4222", "ws://[::1]:80"])
def test_addresses_of_servers_are_taken_as_they_are(url: str) -> None:
    assert server(url) == url
