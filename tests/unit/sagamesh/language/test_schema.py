"""The schema says what the reader reads: the same fields, required or not, with the same defaults."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
import yaml

from sagamesh.language import schema, spec
from sagamesh.language.descriptions import FIELDS
from sagamesh.language.schema import Schema
from support.builders.documents import CHECKOUT, put
from support.builders.spec_cases import FULL, document

SPEC = schema.of_spec()
Place = tuple[Any, ...]


def fields(found: Schema, path: str = "spec") -> Iterator[tuple[str, Schema]]:
    """Each with its path, as in `descriptions`."""
    yield path, found
    for name, inner in found.get("items", found).get("properties", {}).items():
        yield from fields(inner, f"{path}.{name}")


def places(value: object, place: Place = ()) -> Iterator[Place]:
    """Where fields stand in a document."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield (*place, name)
            yield from places(inner, (*place, name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from places(inner, (*place, index))


def path(place: Place) -> str:
    return ".".join(["spec", *(name for name in place if isinstance(name, str))])


def full() -> dict[str, Any]:
    """The document with every field."""
    found: dict[str, Any] = yaml.safe_load(FULL)
    return found


def changed(place: Place, value: object) -> dict[str, Any]:
    """The full document with another value in a place below `spec`; `...` removes the field."""
    return put(full(), ("spec", *place), value)


def filled(found: Schema, value: Any) -> Any:
    """With the defaults of the schema, as Kubernetes fills them in: in objects that are there."""
    if isinstance(value, list):
        return [filled(found["items"], each) for each in value]
    if not isinstance(value, dict):
        return value
    below = found["properties"]
    defaults = {name: each["default"] for name, each in below.items() if "default" in each}
    return {**defaults, **{name: filled(below[name], each) for name, each in value.items()}}


SCHEMAS = dict(fields(SPEC))
PLACES = list(places(full()["spec"]))
REQUIRED = {f"{at}.{name}" for at, found in SCHEMAS.items() for name in found.get("items", found).get("required", ())}


def test_every_field_has_a_meaning_and_every_meaning_a_field() -> None:
    assert SCHEMAS.keys() == FIELDS.keys()
    assert all(found["description"] == FIELDS[at] for at, found in SCHEMAS.items())


def test_the_reader_takes_exactly_the_fields_of_the_schema() -> None:
    assert spec.problems(full()) == ()
    assert {"spec", *map(path, PLACES)} == SCHEMAS.keys()


@pytest.mark.parametrize("place", PLACES, ids=path)
def test_what_is_required(place: Place) -> None:
    found = spec.problems(changed(place, ...))
    assert bool(found) == (path(place) in REQUIRED)


@pytest.mark.parametrize("place", PLACES, ids=path)
def test_what_may_be_null(place: Place) -> None:
    found = SCHEMAS[path(place)]
    assert bool(spec.problems(changed(place, None))) != ("default" in found or found.get("nullable", False))


@pytest.mark.parametrize(
    "written",
    [full(), document(), yaml.safe_load(CHECKOUT)],
    ids=["full", "least", "checkout"],
)
def test_its_defaults_are_those_of_the_reader(written: dict[str, Any]) -> None:
    before = deepcopy(written)
    with_defaults = {**written, "spec": filled(SPEC, written["spec"])}
    assert spec.read(with_defaults) == spec.read(written)
    assert written == before
    assert with_defaults["spec"]["steps"][0]["action"].keys() >= {"timeout", "within"}


@pytest.mark.parametrize("at", SCHEMAS)
def test_everything_is_bounded(at: str) -> None:
    """Else Kubernetes would take the rules in CEL to cost too much."""
    found = SCHEMAS[at]
    bound = {"string": {"maxLength", "enum"}, "array": {"maxItems"}}
    assert found["type"] in {"object", "boolean"} or bound[found["type"]] & found.keys()


def test_the_schema_is_made_anew_each_time() -> None:
    schema.of_spec()["properties"].clear()
    assert schema.of_spec() == SPEC
