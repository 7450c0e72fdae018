"""Whole pictures against golden files. After a change on purpose: look at them, and write them anew."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from sagamesh_cli.main import app

DATA = Path(__file__).parent / "data"
EXAMPLES = Path(__file__).parents[4] / "examples"
ORDER = EXAMPLES / "02-create-order" / "saga.yaml"


def sagamesh(*args: str, columns: int = 80) -> Result:
    return CliRunner().invoke(app, args, env={"COLUMNS": str(columns)}, catch_exceptions=False)


@pytest.mark.parametrize(
    ("file", "golden", "form", "columns"),
    [
        (DATA / "checkout.yaml", "checkout.text", "text", 80),
        (DATA / "checkout.yaml", "checkout.list", "text", 40),
        (DATA / "checkout.yaml", "checkout.mermaid", "mermaid", 80),
        (DATA / "checkout.yaml", "checkout.json", "json", 80),
        (DATA / "trip.yaml", "trip.text", "text", 80),
        (DATA / "trip.yaml", "trip.mermaid", "mermaid", 80),
        (ORDER, "create-order.text", "text", 80),
    ],
    ids=str,
)
def test_pictures(file: Path, golden: str, form: str, columns: int) -> None:
    result = sagamesh("graph", str(file), "-o", form, columns=columns)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (DATA / golden).read_text()


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*/*.yaml")), ids=str)
def test_every_example_fits_in_a_terminal(file: Path) -> None:
    result = sagamesh("graph", str(file))
    assert result.exit_code == 0
    assert "┌" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_what_is_undone_waits_for_all_that_came_after_it() -> None:
    chain = json.loads(sagamesh("graph", str(ORDER), "-o", "json").stdout)["sagas"][0]
    assert chain["wayBack"] == [
        {"turn": 1, "step": "create-ticket", "path": "/tickets/cancel", "after": []},
        {"turn": 2, "step": "create-order", "path": "/orders/reject", "after": ["create-ticket"]},
    ]


def test_several_sagas_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "both.yaml"
    path.write_text(f"{ORDER.read_text()}---\n{(DATA / 'trip.yaml').read_text()}")
    result = sagamesh("graph", str(path))
    assert [line for line in result.stdout.splitlines() if "/" in line[:20] and line[0] != " "] == [
        "default/create-order",
        "default/trip",
    ]


def test_a_circle_cannot_be_drawn(tmp_path: Path) -> None:
    path = tmp_path / "saga.yaml"
    path.write_text(ORDER.read_text().replace("after: [order.created]", "after: [ticket.created]"))
    result = sagamesh("graph", str(path))
    assert (result.exit_code, result.stdout) == (1, "")
    circle = "verify-consumer -> create-ticket -> verify-consumer"
    assert result.stderr == f"sagamesh: {path}: in saga create-order these steps wait for one another: {circle}\n"


def test_a_bad_file_is_a_sentence_with_a_line(tmp_path: Path) -> None:
    path = tmp_path / "saga.yaml"
    path.write_text(ORDER.read_text().replace("pivot: true", "pivot: maybe"))
    result = sagamesh("graph", str(path))
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"sagamesh: {path}:33: spec.steps[3].pivot must be true or false")


def test_a_draft_with_errors_is_drawn(tmp_path: Path) -> None:
    path = tmp_path / "saga.yaml"
    path.write_text(
        ORDER.read_text().replace("compensation: {path: /tickets/cancel}", "").replace("order.created]", "x]")
    )
    result = sagamesh("graph", str(path))
    assert result.exit_code == 0
    assert "│ ! create-ticket" in result.stdout
