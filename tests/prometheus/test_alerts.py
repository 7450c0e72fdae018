"""The alerts, as promtool reads them, and when they fire: `alerts.yaml` has the series and what comes of them."""

from __future__ import annotations

from pathlib import Path

from support.servers.prometheus import promtool

RULES = Path(__file__).parents[2] / "charts" / "sagamesh" / "files" / "alerts.yaml"


def test_the_rules_are_sound(programs: Path) -> None:
    assert promtool(programs, "check", "rules", "--lint-fatal", RULES) == ""


def test_each_alert_fires_when_it_should_and_not_when_it_should_not(programs: Path) -> None:
    assert promtool(programs, "test", "rules", Path(__file__).with_name("alerts.yaml")) == ""
