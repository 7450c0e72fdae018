"""A mapping in, a value or a sentence out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from sagamesh.environment import LOG_LEVELS, Environment
from sagamesh.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class Example:
    name: str
    note: str = "none"
    size: str = "small"
    nats: str = "nats://127.0.0.1:4222"
    app: str = "http://127.0.0.1:8080"
    http_port: int = 8080
    poll: float = 1.5
    resync: int = 60
    linger: str = "5s"
    log_level: str = "info"


Read = Callable[[Environment], object]


def reading(**variables: str) -> Environment:
    return Environment({f"SAGAMESH_{name}": value for name, value in variables.items()}, Example)


def name(read: Environment) -> str:
    return read.label("name")


def size(read: Environment) -> str:
    return read.one_of("size", ("small", "middle", "large"))


def nats(read: Environment) -> str:
    return read.urls("nats", "nats", "tls")


def app(read: Environment) -> str:
    return read.urls("app", "http")


def http_port(read: Environment) -> int:
    return read.port("http_port")


def poll(read: Environment) -> float:
    return read.number("poll", 0.5, 3600)


def resync(read: Environment) -> int:
    return read.whole_seconds("resync", 1, 3600)


def linger(read: Environment) -> str:
    return read.duration("linger")


def log_level(read: Environment) -> str:
    return read.log_level()


DEFAULTS: dict[Read, object] = {
    lambda read: read.text("note"): "none",
    size: "small",
    nats: "nats://127.0.0.1:4222",
    app: "http://127.0.0.1:8080",
    http_port: 8080,
    poll: 1.5,
    resync: 60,
    linger: "5s",
    log_level: "info",
}


@pytest.mark.parametrize(("read", "value"), DEFAULTS.items())
def test_what_is_not_set_or_empty_has_its_default(read: Read, value: object) -> None:
    fields = ("note", "size", "nats", "app", "http_port", "poll", "resync", "linger", "log_level")
    for environment in (reading(), reading(**{field.upper(): "" for field in fields})):
        found = read(environment)
        assert found == value
        assert type(found) is type(value)


@pytest.mark.parametrize("variables", [{}, {"NAME": ""}])
def test_what_has_no_default_must_be_set(variables: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=r"^SAGAMESH_NAME is not set$"):
        reading(**variables).text("name")
    with pytest.raises(SettingsError, match=r"^SAGAMESH_NAME is not set; write it as in shop$"):
        reading(**variables).text("name", such_as="shop")


def test_what_is_needed_has_no_default_whatever_its_field_says() -> None:
    assert reading(NOTE="a").needed("note") == "a"
    with pytest.raises(SettingsError, match=r"^SAGAMESH_NOTE is not set$"):
        reading().needed("note")


@pytest.mark.parametrize(
    ("read", "given", "value"),
    [
        (name, "a-b", "a-b"),
        (size, "large", "large"),
        (nats, "nats://a,tls://b:1/", "nats://a,tls://b:1/"),
        (app, "http://[::1]:9", "http://[::1]:9"),
        (http_port, "0", 0),
        (http_port, "65535", 65535),
        (poll, "0.5", 0.5),
        (poll, "3600", 3600.0),
        (resync, "1", 1),
        (resync, "3600", 3600),
        (linger, "1m30s", "1m30s"),
        (log_level, "ERROR", "error"),
        *((log_level, level, level) for level in LOG_LEVELS),
    ],
)
def test_what_is_set_is_read(read: Read, given: str, value: object) -> None:
    assert read(Environment({f"SAGAMESH_{read.__name__.upper()}": given}, Example)) == value


@pytest.mark.parametrize(
    ("read", "given", "told"),
    [
        (name, "a.b", "'a.b'; it must be a DNS label, such as 'payments'"),
        (size, "Small", "'Small'; it must be small, middle or large"),
        (nats, "http://a:1", "'http://a:1'; write it as in nats://127.0.0.1:4222"),
        (nats, "nats://a,", "'nats://a,'; write it as in nats://127.0.0.1:4222"),
        (nats, "nats://a/b", "'nats://a/b'; write it as in nats://127.0.0.1:4222"),
        (nats, "nats://:1", "'nats://:1'; write it as in nats://127.0.0.1:4222"),
        (nats, "nats://a:0x1", "'nats://a:0x1'; write it as in nats://127.0.0.1:4222"),
        (app, "http://a", "'http://a'; write it as in http://127.0.0.1:8080"),
        (http_port, "65536", "'65536'; it must be a port, such as 8080"),
        (http_port, "-1", "'-1'; it must be a port, such as 8080"),
        (poll, "often", "'often'; it must be a number"),
        (poll, "0.4", "0.4; it must be from 0.5 to 3600"),
        (poll, "3601", "3601; it must be from 0.5 to 3600"),
        (poll, "nan", "nan; it must be from 0.5 to 3600"),
        (resync, "0", "'0'; it must be seconds, from 1 to 3600"),
        (resync, "3601", "'3601'; it must be seconds, from 1 to 3600"),
        (resync, "1.5", "'1.5'; it must be seconds, from 1 to 3600"),
        (
            linger,
            "soon",
            "'soon': 'soon' is not a duration; write it like 10s, 200ms or 1h30m "
            "(hours are the largest unit; at most three decimals)",
        ),
        (log_level, "loud", "'loud'; it must be debug, info, warning or error"),
        (log_level, "critical", "'critical'; it must be debug, info, warning or error"),
    ],
)
def test_what_is_wrong_is_told_by_name(read: Read, given: str, told: str) -> None:
    variable = f"SAGAMESH_{read.__name__.upper()}"
    with pytest.raises(SettingsError) as refused:
        read(Environment({variable: given}, Example))
    assert str(refused.value) == f"{variable} is {told}"
