"""Settings of the operator; those of the injector are tried beside their page."""

from __future__ import annotations

from typing import Any

import pytest

from sagamesh.errors import SettingsError
from sagamesh_operator.settings import OperatorSettings, from_environment

NATS = {"SAGAMESH_NATS": "nats://n:4222"}


def test_a_server_is_enough() -> None:
    assert from_environment(NATS) == OperatorSettings(nats="nats://n:4222")
    with pytest.raises(SettingsError, match=r"^SAGAMESH_NATS is not set; write it as in nats://nats\.nats\.svc:4222$"):
        from_environment({})


@pytest.mark.parametrize(
    ("field", "given", "value"),
    [
        ("nats_dir", "/login", "/login"),
        ("installation", "eu-1", "eu-1"),
        ("http_host", "127.0.0.1", "127.0.0.1"),
        ("http_port", "0", 0),
        ("resync", "1", 1),
        ("resync", "3600", 3600),
        ("log_level", "error", "error"),
    ],
)
def test_each_can_be_set(field: str, given: str, value: Any) -> None:
    found = from_environment(NATS | {f"SAGAMESH_{field.upper()}": given})
    assert found == OperatorSettings(**({"nats": NATS["SAGAMESH_NATS"]} | {field: value}))


@pytest.mark.parametrize(("name", "value"), [("HTTP_PORT", "65536"), ("RESYNC", "3601"), ("LOG_LEVEL", "loud")])
def test_what_is_wrong_is_told_by_name(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"SAGAMESH_{name} is '{value}'"):
        from_environment(NATS | {f"SAGAMESH_{name}": value})
