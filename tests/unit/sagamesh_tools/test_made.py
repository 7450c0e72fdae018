"""What is made, how it is written and compared, and that none of what makes it is shipped."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from sagamesh_tools import __main__ as program
from sagamesh_tools import chart, made
from sagamesh_tools.made import MadeFile

ROOT = Path(__file__).parents[3]
WHEEL = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
DOCKERFILE = (ROOT / "images" / "Dockerfile").read_text()


@pytest.fixture
def files(tmp_path: Path) -> list[MadeFile]:
    return [MadeFile(tmp_path / "a.yaml", "code", "a: 1\n"), MadeFile(tmp_path / "b.yaml", "chart", "b: 2\n")]


def test_what_is_not_there_or_differs_is_told_with_what_to_do(files: list[MadeFile]) -> None:
    files[1].path.write_text("b: 3\n")
    assert made.differences(files) == [
        f"{files[0].path} is not what the code says: run `make manifests`, and commit it.",
        f"{files[1].path} is not what the chart says: run `make manifests`, and commit it.",
    ]


def test_what_was_written_is_as_it_must_be(files: list[MadeFile]) -> None:
    made.write(files)
    assert made.differences(files) == []
    assert files[0].path.read_text() == "a: 1\n"


def test_each_file_is_written_before_the_next_is_made(files: list[MadeFile]) -> None:
    """For the chart holds the resource, and the manifests are made of the chart."""

    def one_of_the_other() -> Iterator[MadeFile]:
        yield files[0]
        yield files[1]._replace(text=files[0].path.read_text())

    made.write(one_of_the_other())
    assert files[1].path.read_text() == "a: 1\n"


def test_the_resource_is_made_first_and_every_file_has_a_path_in_the_repository() -> None:
    paths = [str(file.path.relative_to(ROOT)) for file in made.files()]
    assert paths == [
        "charts/sagamesh/files/crds/sagas.yaml",
        "docs/saga-reference.md",
        "docs/metrics.md",
        "docs/cli.md",
        "charts/sagamesh/files/dashboards/overview.json",
        "manifests/crds.yaml",
        "manifests/install.yaml",
        "charts/sagamesh/README.md",
    ]


def run(monkeypatch: pytest.MonkeyPatch, task: str, files: list[MadeFile], *faults: str) -> object:
    monkeypatch.setattr(made, "files", lambda: files)
    monkeypatch.setattr(chart, "faults", lambda: list(faults))
    with pytest.raises(SystemExit) as ended:
        program.main([task])
    return ended.value.code


def test_check_fails_with_every_sentence(files: list[MadeFile], monkeypatch: pytest.MonkeyPatch) -> None:
    told = run(monkeypatch, "check", files, "helm says no")
    assert str(told).splitlines() == ["helm says no", *made.differences(files)]
    assert not files[0].path.exists()


def test_write_makes_them_and_then_check_is_content(files: list[MadeFile], monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, "write", files) == 0
    assert run(monkeypatch, "check", files) == 0
    assert run(monkeypatch, "write", files, "helm says no") == "helm says no"


def test_anything_else_is_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, "look", []) == program.USAGE


def test_the_wheel_and_the_images_hold_no_tools() -> None:
    rooms = [package.partition("/")[0] for package in WHEEL["packages"]]
    assert rooms == ["core", "jetstream", "sidecar", "operator", "cli"]
    assert WHEEL["force-include"] == {"examples": "sagamesh_cli/examples", "docs/checks.md": "sagamesh_cli/checks.md"}
    for room in ("tools", "bench", "charts", "docs", "tests"):
        assert f"COPY {room} " not in DOCKERFILE
    for room in rooms[:-1]:
        names = {path.stem for path in (ROOT / room).rglob("*.py")}
        assert not names & {"dashboard", "reference_page", "resource_file", "manifests"}
