"""Settings come from the environment; what is wrong there is told by name."""

from __future__ import annotations

import socket
from dataclasses import fields

import pytest

from sagamesh.errors import SettingsError
from sagamesh_sidecar.settings import SidecarSettings, from_environment, to_environment

LEAST = {"SAGAMESH_NAMESPACE": "shop", "SAGAMESH_PARTICIPANT": "payments"}


def test_namespace_and_participant_are_enough() -> None:
    found = from_environment({**LEAST, "SAGAMESH_POD": "payments-1"})
    assert found == SidecarSettings(namespace="shop", participant="payments", pod="payments-1")


def test_without_a_pod_it_goes_by_the_name_of_its_machine() -> None:
    for given in (LEAST, {**LEAST, "SAGAMESH_POD": ""}):
        assert from_environment(given).pod == socket.gethostname()


def test_settings_survive_the_environment() -> None:
    given = SidecarSettings(
        namespace="shop",
        participant="payments",
        pod="p",
        nats="nats://a:1,tls://b",
        nats_dir="/login",
        app="http://[::1]:9",
        api_port=0,
        health_host="127.0.0.1",
        health_port=65535,
        concurrency=256,
        poll=1.5,
        grace=0.5,
        log_level="error",
        state_dir="/state",
        ready_file="/ready",
    )
    set_here = {field.name for field in fields(given) if getattr(given, field.name) != field.default}
    assert set_here == {field.name for field in fields(given)} - {"ack_wait"}
    assert from_environment(to_environment(given)) == given


@pytest.mark.parametrize("given", [LEAST, {**LEAST, "SAGAMESH_APP": ""}])
def test_without_an_app_there_is_none_to_call(given: dict[str, str]) -> None:
    assert from_environment(given).app == ""


def test_an_address_that_is_none_is_answered_with_one() -> None:
    with pytest.raises(SettingsError, match=r"write it as in http://127.0.0.1:8080"):
        from_environment({**LEAST, "SAGAMESH_APP": "8080"})


@pytest.mark.parametrize("name", LEAST)
def test_what_is_missing_is_named(name: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} is not set"):
        from_environment({key: value for key, value in LEAST.items() if key != name})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NAMESPACE", ""),
        ("PARTICIPANT", "Ä"),
        ("PARTICIPANT", "a.b"),
        ("APP", "nonsense"),
        ("APP", "http://127.0.0.1"),
        ("APP", "http://127.0.0.1:9001/path"),
        ("APP", "https://127.0.0.1:9001"),
        ("NATS", "nats://["),
        ("NATS", "http://127.0.0.1:4222"),
        ("NATS", "nats://a:1,"),
        ("API_PORT", "x"),
        ("API_PORT", "65536"),
        ("CONCURRENCY", "0"),
        ("CONCURRENCY", "257"),
        ("POLL", "0.09"),
        ("POLL", "3601"),
        ("GRACE", "nan"),
        ("GRACE", "-1"),
        ("GRACE", "601"),
        ("LOG_LEVEL", "loud"),
    ],
)
def test_what_is_wrong_is_told_by_name(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"SAGAMESH_{name} is"):
        from_environment({**LEAST, f"SAGAMESH_{name}": value})
