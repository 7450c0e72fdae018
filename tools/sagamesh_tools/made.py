"""Every file that is made: where it stands, of what it is made, and what is said where it differs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from sagamesh_tools import chart, cli_page, dashboard, manifests, metrics_page, reference_page, resource_file
from sagamesh_tools.chart import CHART, ROOT


class MadeFile(NamedTuple):
    """A file as it must be. `of`: the word for what it is made of, `code` or `chart`."""

    path: Path
    of: str
    text: str

    @property
    def is_written(self) -> bool:
        return self.path.exists() and self.path.read_text() == self.text


def files() -> Iterator[MadeFile]:
    """One after the other, in an order in which each may be written before the next is made of it.

    The chart holds the resource, and the manifests are made of the chart.
    """
    yield MadeFile(CHART / "files" / "crds" / "sagas.yaml", "code", resource_file.text())
    yield MadeFile(ROOT / "docs" / "saga-reference.md", "code", reference_page.page())
    yield MadeFile(ROOT / "docs" / "metrics.md", "code", metrics_page.page())
    yield MadeFile(cli_page.PAGE, "code", cli_page.page())
    yield MadeFile(CHART / "files" / "dashboards" / "overview.json", "code", dashboard.text())
    for name, text in manifests.texts().items():
        yield MadeFile(ROOT / "manifests" / name, "chart", text)
    yield MadeFile(chart.README, "chart", chart.readme())


def write(made: Iterable[MadeFile]) -> None:
    """Make them what they must be."""
    for file in made:
        file.path.write_text(file.text)


def differences(made: Iterable[MadeFile]) -> list[str]:
    """A sentence for each that is not what it must be."""
    return [
        f"{_shown(file.path)} is not what the {file.of} says: run `make manifests`, and commit it."
        for file in made
        if not file.is_written
    ]


def _shown(path: Path) -> Path:
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
