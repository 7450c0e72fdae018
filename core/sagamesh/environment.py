"""Settings of a process, as variables: a mapping in, values out, or one sentence about the one that is wrong. Pure.

What can be set, and what it means, stands in each process's own `settings`. Nothing here asks whether a server, a
directory or a port is there: whoever uses it finds out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any, TypeVar
from urllib.parse import urlsplit

from sagamesh import durations
from sagamesh.errors import SettingsError
from sagamesh.text import is_label, series, whole

PREFIX = "SAGAMESH_"
LOG_LEVELS = ("debug", "info", "warning", "error")
"""From the most lines to the fewest, by Python's names. One set for all processes, the annotation and the chart."""
LAST_PORT = 65535
"""Of TCP, which has 16 bits for it."""
MOST_CONCURRENCY = 256
"""Deliveries that a sidecar may have in hand at once, as its setting and the annotation take it: with data of 256 KiB
each they are 64 MiB, a quarter of the memory that it is given."""
OWN_PORTS = {"nats": 4222, "tls": 4222}
"""The port that a URL means without saying one, by scheme: 4222 is NATS's. An app has none: it must say its own."""

T = TypeVar("T", bound=str)


class Environment:
    """The variables of one process: each setting is read by the name of its field, from `SAGAMESH_` and that name.

    `settings`: the dataclass that they are for. A variable that is not set, or empty, has the field's default. All
    methods raise SettingsError: it must be set and is not, or its value cannot be used.
    """

    def __init__(self, variables: Mapping[str, str], settings: type[Any]) -> None:
        self._variables = variables
        self._defaults = {field.name: field.default for field in fields(settings) if field.default is not MISSING}

    def text(self, name: str, *, such_as: str = "") -> str:
        """Whatever it is. `such_as`: what to write, for a field without a default."""
        if not self._given(name) and name in self._defaults:
            return str(self._defaults[name])
        return self.needed(name, such_as=such_as)

    def needed(self, name: str, *, such_as: str = "") -> str:
        """Whatever it is, but not its default: somebody must have set it."""
        if not (value := self._given(name)):
            raise SettingsError(f"{variable(name)} is not set" + (f"; write it as in {such_as}" if such_as else ""))
        return value

    def one_of(self, name: str, values: Sequence[T]) -> T:
        """One of these, at least two."""
        given = self.text(name)
        for value in values:
            if value == given:
                return value
        raise _no_choice(name, given, values)

    def log_level(self, name: str = "log_level") -> str:
        """One of `LOG_LEVELS`. Capitals mean the same, as they did to the sidecar from its first version on."""
        if (given := self.text(name)).lower() not in LOG_LEVELS:
            raise _no_choice(name, given, LOG_LEVELS)
        return given.lower()

    def label(self, name: str) -> str:
        """A name of Kubernetes, of which subjects can be made."""
        if not is_label(given := self.text(name)):
            raise _wrong(name, given, "it must be a DNS label, such as 'payments'")
        return given

    def port(self, name: str) -> int:
        """A port; 0 takes a free one. The field has a default."""
        if (number := whole(given := self.text(name), 0, LAST_PORT)) is None:
            raise _wrong(name, given, f"it must be a port, such as {self._defaults[name]}")
        return number

    def number(self, name: str, least: float, most: float) -> float:
        """A number, with or without decimals, within these bounds."""
        given = self.text(name)
        try:
            value = float(given)
        except ValueError:
            raise _wrong(name, given, "it must be a number") from None
        if not least <= value <= most:
            raise SettingsError(f"{variable(name)} is {given}; it must be from {least:g} to {most:g}")
        return value

    def whole_seconds(self, name: str, least: int, most: int) -> int:
        """A whole number of seconds within these bounds."""
        if (number := whole(given := self.text(name), least, most)) is None:
            raise _wrong(name, given, f"it must be seconds, from {least} to {most}")
        return number

    def duration(self, name: str) -> str:
        """A duration as people write it: see `durations`, which reads it."""
        given = self.text(name)
        try:
            durations.parse(given)
        except ValueError as error:
            raise SettingsError(f"{variable(name)} is {given!r}: {error}") from error
        return given

    def urls(self, name: str, *schemes: str, such_as: str = "") -> str:
        """Addresses of servers, separated by commas, each of one of these schemes. The field has a default.

        `such_as`: what to write, where the default is none at all.
        """
        given = self.text(name)
        if given != self._defaults[name] and not all(_is_url(url, schemes) for url in given.split(",")):
            raise _wrong(name, given, f"write it as in {such_as or self._defaults[name]}")
        return given

    def _given(self, name: str) -> str:
        return self._variables.get(variable(name), "")


def variable(name: str) -> str:
    """The variable of a field of that name."""
    return PREFIX + name.upper()


def _no_choice(name: str, given: str, values: Sequence[str]) -> SettingsError:
    return _wrong(name, given, f"it must be {series(values, 'or')}")


def _wrong(name: str, given: str, rule: str) -> SettingsError:
    return SettingsError(f"{variable(name)} is {given!r}; {rule}")


def _is_url(text: str, schemes: Sequence[str]) -> bool:
    """Whether a text is the address of a server, and nothing behind it."""
    try:
        parts = urlsplit(text)
        port = parts.port or OWN_PORTS.get(parts.scheme)
    except ValueError:
        return False
    return parts.scheme in schemes and bool(parts.hostname) and bool(port) and parts.path in ("", "/")
