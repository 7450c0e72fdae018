"""One set of log levels: whatever can be set anywhere is the same, and each of them works in every process."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sagamesh.environment import LOG_LEVELS
from sagamesh.errors import SettingsError
from sagamesh_operator import __main__ as operator
from sagamesh_operator import settings as operator_settings
from sagamesh_operator.injection import settings as injector_settings
from sagamesh_operator.injection import webhook as injector
from sagamesh_operator.injection.annotations import wishes
from sagamesh_sidecar import json_logging
from sagamesh_sidecar import settings as sidecar_settings
from sagamesh_sidecar.json_logging import JsonFormatter

ROOT = Path(__file__).parents[2]
CANDIDATES = (*LOG_LEVELS, "trace", "notset", "warn", "critical", "fatal", "off", "10", "loud", "Info")
"""What others know, and what cannot be set here. In capitals, a variable alone takes them."""
SIDECAR = {"NAMESPACE": "shop", "PARTICIPANT": "orders"}
OPERATOR = {"NATS": "nats://n"}
INJECTOR = OPERATOR | dict.fromkeys(("SIDECAR_IMAGE", "NAMESPACE", "SERVICE", "WEBHOOK", "CA_SECRET"), "x")


def accepted(take: Callable[[str], str | None]) -> tuple[str, ...]:
    """Those of the candidates that are taken, as what they are."""
    found = []
    for level in CANDIDATES:
        try:
            found.append(str(take(level)))
        except (SettingsError, ValueError):
            continue
    return tuple(dict.fromkeys(found))


def environment(given: dict[str, str], level: str) -> dict[str, str]:
    return {f"SAGAMESH_{name}": value for name, value in (given | {"LOG_LEVEL": level}).items()}


PLACES: dict[str, Callable[[str], str | None]] = {
    "sidecar": lambda level: sidecar_settings.from_environment(environment(SIDECAR, level)).log_level,
    "operator": lambda level: operator_settings.from_environment(environment(OPERATOR, level)).log_level,
    "injector": lambda level: injector_settings.from_environment(environment(INJECTOR, level)).log_level,
    "annotation": lambda level: wishes({"sagamesh.dev/log-level": level})[0].log_level,
}


@pytest.mark.parametrize("take", PLACES.values(), ids=PLACES)
def test_every_place_takes_the_same(take: Callable[[str], str | None]) -> None:
    assert accepted(take) == LOG_LEVELS


@pytest.mark.parametrize("component", ["operator", "injector"])
def test_the_chart_takes_the_same(component: str) -> None:
    schema = json.loads((ROOT / "charts/sagamesh/values.schema.json").read_text())
    level = schema["properties"][component]["properties"]["logLevel"]
    assert level == {"$ref": "#/definitions/logLevel"}
    assert schema["definitions"]["logLevel"] == {"enum": list(LOG_LEVELS)}


@pytest.mark.parametrize(
    ("page", "row"),
    [
        ("docs/operator.md", "`SAGAMESH_LOG_LEVEL`"),
        ("docs/injection.md", "`SAGAMESH_LOG_LEVEL`"),
        ("docs/injection.md", "`sagamesh.dev/log-level`"),
        ("charts/sagamesh/README.md", "`operator.logLevel`"),
        ("charts/sagamesh/README.md", "`injector.logLevel`"),
    ],
)
def test_the_pages_name_the_same(page: str, row: str) -> None:
    [line] = [line for line in (ROOT / page).read_text().splitlines() if line.startswith(f"| {row} |")]
    *_, meaning = line.strip("| ").split("|")
    assert tuple(re.findall(r"`(\w+)`", meaning)) == LOG_LEVELS


CONFIGURE: dict[str, Callable[[str], None]] = {
    "sidecar": lambda level: json_logging.configure(level, JsonFormatter()),
    "operator": operator.configure,
    "injector": injector.configure,
}


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Loggers as a new process has them; afterwards as they were."""
    monkeypatch.setattr(logging.root, "handlers", [])
    names = ("", "asyncio", "kopf", "nats", "uvicorn")
    before = [(each, each.level, each.propagate, each.handlers[:]) for each in map(logging.getLogger, names)]
    yield
    for each, level, propagate, handlers in before:
        each.setLevel(level)
        each.propagate = propagate
        each.handlers[:] = handlers


@pytest.mark.parametrize("level", LOG_LEVELS)
@pytest.mark.parametrize("configure", CONFIGURE.values(), ids=CONFIGURE)
@pytest.mark.usefixtures("apart")
def test_each_level_lets_through_what_is_as_grave_and_no_less(
    configure: Callable[[str], None], level: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(level)
    for one in LOG_LEVELS:
        logging.getLogger("sagamesh.anything").log(logging.getLevelNamesMapping()[one.upper()], "%s", one)
    written = [json.loads(line)["message"] for line in capsys.readouterr().err.splitlines()]
    assert written == list(LOG_LEVELS[LOG_LEVELS.index(level) :])
