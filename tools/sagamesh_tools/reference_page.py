"""`docs/saga-reference.md`, made of the resource: each field with its bounds, each rule with its code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from sagamesh.api_group import CRD, VERSION
from sagamesh.language.schema import Schema
from sagamesh_operator import crd

PAGE = """\
<!-- Made by `make manifests`; the language is in core/sagamesh/language, its texts in descriptions.py there. -->

# The Saga resource, field by field

`{name}`, version `{version}`. On a cluster, `kubectl explain saga.spec` says the same. How the parts
work together is in [language.md](language.md).

## Spec

A duration is Go-style, such as `200ms`, `1.5s` or `1h30m`: hours are the largest unit, and there are at most three
decimals. An expression is a text in CEL. `null` counts as absent. A whole saga has at most 1.5 MiB, as all that
Kubernetes stores.

{spec}
## Rules

The API server refuses a saga that breaks one of these, with this sentence. A code leads to an example and its mending.
All that follows from the saga as a whole is judged by the operator, by the other [checks](checks.md), and said in the
status.

{rules}
## Status

The operator writes it, and nobody else.

{status}
## Columns

What `kubectl get sagas` shows, besides the name; `kubectl get sm` is short for it.

{columns}"""


class FieldPlace(NamedTuple):
    """A field, where it is. `holder`: the object that it is a field of."""

    path: str
    name: str
    schema: Schema
    holder: Schema

    @property
    def inner(self) -> Schema:
        """Of a list: its items."""
        return self.schema.get("items") or self.schema

    @property
    def each(self) -> str:
        return f"{self.path}[]" if "items" in self.schema else self.path


def page() -> str:
    [version] = crd.resource()["spec"]["versions"]
    top = version["schema"]["openAPIV3Schema"]
    spec, status = (list(_places(name, name, top["properties"][name], top)) for name in ("spec", "status"))
    return PAGE.format(
        name=CRD,
        version=VERSION,
        spec=table(("field", "type", "default", "bounds", "meaning"), map(_row, spec)),
        rules=table(("about", "rule"), _rules(top, spec)),
        status=table(("field", "type", "meaning"), (_row(place)[:2] + _row(place)[-1:] for place in status)),
        columns=table(("column", "meaning"), map(_column, version["additionalPrinterColumns"])),
    )


def _places(path: str, name: str, schema: Schema, holder: Schema) -> Iterator[FieldPlace]:
    """A field and those below it, in the order of the language."""
    place = FieldPlace(path, name, schema, holder)
    yield place
    for below, field in place.inner.get("properties", {}).items():
        yield from _places(f"{place.each}.{below}", below, field, place.inner)


def _row(place: FieldPlace) -> tuple[str, ...]:
    bounds = "; ".join(_bounds(place.schema))
    return f"`{place.path}`", _type(place.schema), _default(place), bounds, place.schema["description"]


def _type(schema: Schema) -> str:
    if "items" in schema:
        return f"list of {_type(schema['items'])}s"
    if any("duration(self)" in valid["rule"] for valid in schema.get("x-kubernetes-validations", ())):
        return "duration"
    return str(schema["type"])


def _default(place: FieldPlace) -> str:
    if place.name in place.holder.get("required", ()):
        return "required"
    default = place.schema.get("default")
    return "" if default is None else f"`{str(default).lower()}`"


def _bounds(schema: Schema) -> Iterator[str]:
    if "enum" in schema:
        yield " or ".join(f"`{choice}`" for choice in schema["enum"])
    if "items" in schema and "maxItems" in schema:
        yield f"{schema['minItems']} to {schema['maxItems']} entries{UNIQUE[schema['x-kubernetes-list-type']]}"
        if "pattern" in schema["items"]:
            yield f"each {_form(schema['items']['description'])}"
    told = [valid["message"] for valid in schema.get("x-kubernetes-validations", ()) if "self." in valid["rule"]]
    if schema["type"] == "string" and told:
        yield _form(told[0])
    elif "minLength" in schema:
        yield f"an expression of at most {schema['maxLength']} characters"


UNIQUE = {"map": ", each with a `name` of its own", "set": ", none twice", "atomic": ""}


def _form(sentence: str) -> str:
    """Of `Must be a DNS label (...), such as ...`: what it must be."""
    return re.sub(r"^must be (a duration )?|, such as .*", "", sentence, flags=re.IGNORECASE)


def _rules(top: Schema, spec: list[FieldPlace]) -> Iterator[tuple[str, str]]:
    """Those of objects; the form of a text is among its bounds."""
    yield from (("`metadata.name`", valid["message"]) for valid in top["x-kubernetes-validations"])
    for place in spec:
        if place.inner["type"] == "object":
            for valid in place.inner.get("x-kubernetes-validations", ()):
                yield f"`{place.each}`", re.sub(r"\b(SM\d{3})\b", _link, valid["message"])


def _link(code: re.Match[str]) -> str:
    return f"[{code[1]}](checks.md#{code[1].lower()})"


def _column(column: dict[str, Any]) -> tuple[str, str]:
    wide = " With `-o wide`." if column["priority"] else ""
    return f"`{column['name']}`", column["description"] + wide


def table(titles: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [titles, ("---",) * len(titles), *(tuple(map(_cell, row)) for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(text: str) -> str:
    """A text that Markdown shows as it is."""
    return text.replace("|", "\\|").replace("<", "\\<")
