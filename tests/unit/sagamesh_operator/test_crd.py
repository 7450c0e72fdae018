"""The custom resource, what is made of it, and what is written by hand beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sagamesh.language.checks import CODES
from sagamesh_operator import crd
from sagamesh_operator.resource import resource
from sagamesh_operator.sagas.acceptance import judge
from sagamesh_operator.sagas.standing import Readiness, Standing
from sagamesh_operator.sagas.status import status
from sagamesh_tools import reference_page, resource_file
from support.builders.documents import CHECKOUT

ROOT = Path(__file__).parents[3]
MANIFESTS = ROOT / "manifests"


@pytest.fixture(scope="module")
def top() -> dict[str, Any]:
    """The schema of a whole Saga."""
    [version] = crd.resource()["spec"]["versions"]
    schema: dict[str, Any] = version["schema"]["openAPIV3Schema"]
    return schema


@pytest.fixture(scope="module")
def schemas(top: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The schema of each field, by its path."""
    return dict([*fields(top["properties"]["spec"], "spec"), *fields(top["properties"]["status"], "status")])


def fields(found: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, found
    for name, inner in found.get("items", found).get("properties", {}).items():
        yield from fields(inner, f"{path}.{name}")


def test_the_manifest_is_what_the_code_says() -> None:
    assert yaml.safe_load((ROOT / "charts/sagamesh/files/crds/sagas.yaml").read_text()) == crd.resource()
    assert yaml.safe_load((MANIFESTS / "crds.yaml").read_text())["spec"] == crd.resource()["spec"]


def test_the_manifest_has_no_anchors() -> None:
    assert not re.search(r"[&*]id\d", resource_file.text())


def test_every_field_is_described(schemas: dict[str, dict[str, Any]]) -> None:
    assert len(schemas) > 40
    mute = [path for path, field in schemas.items() if not re.match(r"[^ ].*\.$", field["description"], re.DOTALL)]
    assert mute == []


def test_each_rule_names_its_check() -> None:
    rules = [valid for found in crd.RULES.values() for valid in found]
    assert {valid["message"].partition(":")[0] for valid in rules} <= CODES.keys()
    assert len({valid["rule"] for valid in rules}) == len(rules)
    asked = str(crd.resource())
    assert all(valid["message"] in asked for valid in rules), "the API server is told of each"


def test_the_columns_are_of_the_status(schemas: dict[str, dict[str, Any]]) -> None:
    for name, _, path, _ in (*crd.COLUMNS, *crd.WIDE):
        assert name.isupper()
        assert path == ".metadata.creationTimestamp" or re.sub(r"\[.*?\]", "", path).strip(".") in schemas


def test_what_the_operator_says_has_a_place(top: dict[str, Any]) -> None:
    metadata = {"name": "checkout", "namespace": "shop", "uid": "u", "generation": 3, "resourceVersion": "7"}
    document = {**yaml.safe_load(CHECKOUT), "metadata": metadata}
    standing = Standing(active="5f0c9a1e77", replicas=3, participants=(Readiness("orders", 2, 1),))
    assert has_place(status(resource(document), judge(document), standing, 0.0), top["properties"]["status"])


def has_place(value: object, found: dict[str, Any]) -> bool:
    """Whether a value has exactly the fields of a schema, with its types."""
    match value:
        case dict():
            below = found["properties"]
            return value.keys() == below.keys() and all(has_place(value[name], below[name]) for name in value)
        case list():
            return all(has_place(each, found["items"]) for each in value)
        case int():
            return bool(found["type"] == "integer")
    return bool(found["type"] == "string")


@pytest.mark.parametrize("name", ["crds.yaml", "install.yaml"])
def test_the_manifests_have_the_recommended_labels(name: str) -> None:
    for written in yaml.safe_load_all((MANIFESTS / name).read_text()):
        assert crd.LABELS.keys() <= written["metadata"]["labels"].keys()


# -- the reference -------------------------------------------------------------------------------------------------


def test_the_reference_is_what_the_code_says() -> None:
    assert (ROOT / "docs" / "saga-reference.md").read_text() == reference_page.page()


def test_the_reference_has_every_field_and_every_rule(schemas: dict[str, dict[str, Any]]) -> None:
    page = reference_page.page()
    listed = re.findall(r"^\| `((?:spec|status)\S*)` .* \| (.*) \|$", page.partition("## Rules")[0], re.MULTILINE)
    listed += re.findall(r"^\| `(status\S*)` .* \| (.*) \|$", page, re.MULTILINE)
    assert [(path.replace("[]", ""), meaning.replace("\\", "")) for path, meaning in listed] == [
        (path, field["description"]) for path, field in schemas.items()
    ]
    for rules in crd.RULES.values():
        assert all(valid["message"].partition(": ")[2] in page for valid in rules)


@pytest.mark.parametrize(
    ("field", "cells"),
    [
        ("spec.start.event", "| string | required | an event type (letters, digits, '.', '_' and '-', at most 128) |"),
        ("spec.steps", "| list of objects | required | 1 to 500 entries, each with a `name` of its own |"),
        ("spec.steps[].join", "| string | `all` | `all` or `any` |"),
        ("spec.steps[].pivot", "| boolean | `false` |  |"),
        ("spec.steps[].when", "| string |  | an expression of at most 2048 characters |"),
        ("spec.steps[].action.timeout", "| duration | `5s` | over 0 and up to 1h |"),
    ],
)
def test_a_line_of_the_reference(field: str, cells: str) -> None:
    assert f"\n| `{field}` {cells} " in reference_page.page()
