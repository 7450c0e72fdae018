"""docs/injection.md says what the code does: annotations, names and settings."""

from __future__ import annotations

import re
from dataclasses import MISSING, fields
from pathlib import Path

import pytest

from sagamesh.errors import SettingsError
from sagamesh_operator.injection import container
from sagamesh_operator.injection.annotations import ANNOTATIONS, Wishes
from sagamesh_operator.injection.app_port import DEFAULT_CONTAINER, PROXIES
from sagamesh_operator.injection.patch import INJECTED, PARTICIPANT
from sagamesh_operator.injection.settings import InjectorSettings, from_environment
from support.builders.pods import REFUSED

ROOT = Path(__file__).parents[4]
PAGE = (ROOT / "docs" / "injection.md").read_text()


def rows(section: str) -> list[list[str]]:
    """The table of a section, without its head and its code marks."""
    text = re.split(rf"^## {section}$", PAGE, flags=re.MULTILINE)[1].partition("\n## ")[0]
    return [
        [cell.strip().replace("`", "") for cell in row.split("|")[1:-1]]
        for row in re.findall(r"^\|.*", text, re.MULTILINE)
    ][2:]


def test_every_annotation_and_its_default() -> None:
    defaults = {name: str(getattr(Wishes(), name.replace("-", "_"), "")).removesuffix("None") for name in ANNOTATIONS}
    told = {name.removeprefix("sagamesh.dev/"): default for name, default, _ in rows("Annotations")}
    assert list(told) == list(ANNOTATIONS)
    for name, default in defaults.items():
        if default and name != "native-sidecar":
            assert told[name] == default


def test_every_setting_and_its_default() -> None:
    known = {
        f"SAGAMESH_{each.name.upper()}": "" if each.default is MISSING else str(each.default)
        for each in fields(InjectorSettings)
    }
    assert {name: default for name, default, _ in rows("Settings")} == known


def test_what_is_probed() -> None:
    made = container.container(container.Installation(image="i", nats="n"), Wishes(), "shop", "p", 8080)
    assert {name for name in made if name.endswith("Probe")} == {"startupProbe", "livenessProbe"}
    assert "there is no readiness probe" in PAGE.lower()
    for page in ROOT.glob("docs/**/*.md"):
        assert not re.search(r"sidecar[^.]*\bis not ready", page.read_text()), page


def test_every_name_and_number() -> None:
    numbers = (container.API_PORT, container.HEALTH_PORT, container.USER, container.STARTUP_SECONDS)
    names = (
        container.NAME,
        container.STATE_VOLUME,
        container.NATS_VOLUME,
        container.URL_VARIABLE,
        PARTICIPANT,
        INJECTED,
    )
    for each in (*numbers, *names, DEFAULT_CONTAINER):
        assert str(each) in PAGE


def test_every_proxy() -> None:
    [told] = re.findall(r"no known proxy \(([^)]*)\)", PAGE)
    assert re.findall(r"`([^`]+)`", told) == sorted(PROXIES)


@pytest.mark.parametrize(
    ("words", "refusals"),
    [
        ("container named", ["our container's name", "our volume's name"]),
        ("hostNetwork", ["hostNetwork"]),
        ("port 3650 or 3651", ["the port of the API", "the app on a port of ours"]),
        ("no DNS label", ["a participant that is no name"]),
        ("a wrong value", ["no concurrency"]),
    ],
)
def test_every_refusal(words: str, refusals: list[str]) -> None:
    assert [row for row in rows("Refusals") if words in row[0]]
    assert set(refusals) <= set(REFUSED)


ENVIRONMENT = {
    "SAGAMESH_SIDECAR_IMAGE": "i",
    "SAGAMESH_NATS": "nats://n:4222",
    "SAGAMESH_NAMESPACE": "ns",
    "SAGAMESH_SERVICE": "svc",
    "SAGAMESH_WEBHOOK": "w",
    "SAGAMESH_CA_SECRET": "s",
}


def test_what_is_needed_and_no_more() -> None:
    needed = {name for name, _, text in rows("Settings") if "Needed" in text}
    assert needed == set(ENVIRONMENT)
    assert from_environment(ENVIRONMENT).dns_name == "svc.ns.svc"
    for name in needed:
        with pytest.raises(SettingsError, match=f"{name} is not set"):
            from_environment({key: value for key, value in ENVIRONMENT.items() if key != name})


def test_with_certificates_of_somebody_else_nothing_is_kept(tmp_path: Path) -> None:
    given = {key: ENVIRONMENT[key] for key in ENVIRONMENT if key not in ("SAGAMESH_WEBHOOK", "SAGAMESH_CA_SECRET")}
    assert from_environment(given | {"SAGAMESH_CERTIFICATE_DIR": str(tmp_path)}).ca_secret == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NATIVE_SIDECAR", "perhaps"),
        ("WEBHOOK_PORT", "https"),
        ("HTTP_PORT", "65536"),
        ("LOG_LEVEL", "loud"),
        ("CERTIFICATE_LIFETIME", "90d"),
        ("LINGER", "soon"),
        ("CERTIFICATE_DIR", "/nowhere"),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"SAGAMESH_{name} is '{value}'"):
        from_environment(ENVIRONMENT | {f"SAGAMESH_{name}": value})
