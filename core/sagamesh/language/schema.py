"""The language as a structural schema of Kubernetes: what `spec` asks a document for, noted while it asks.

The reader itself runs over a node that has no document. So schema and reader cannot differ, whatever is added to the
language. What each field means is said in `descriptions`; which rules hold between fields, where the resource is.
"""

from __future__ import annotations

import re
from typing import Any

from sagamesh import durations
from sagamesh.language import spec
from sagamesh.language.descriptions import FIELDS
from sagamesh.language.document import Form, Node, duration_rule

Schema = dict[str, Any]
"""OpenAPI v3 with Kubernetes' extensions, as JSON."""


def of_spec() -> Schema:
    """The schema of the field `spec`: types, bounds, defaults, meanings, and the forms of texts with a sentence."""
    top = _Noting("")
    spec.saga(top, namespace="default")
    schema: Schema = top.properties["spec"]
    return schema


def rule(expression: str, message: str) -> Schema:
    """A validation in CEL, as Kubernetes takes it."""
    return {"rule": expression, "message": message}


class _Noting(Node):
    """Reads nothing: notes what it is asked for, and answers with stand-ins. `close` ends it."""

    def __init__(self, path: str, **about: str) -> None:
        super().__init__({}, path, [])
        self.properties: dict[str, Schema] = {}
        self.schema: Schema = {**about, "type": "object", "properties": self.properties}

    def get(self, name: str) -> object:
        return name  # something: what follows where a field is missing has no fields

    def constant(self, name: str, expected: str) -> None:
        self._note(name, {"type": "string", "enum": [expected]}, required=True)

    def optional_text(self, name: str, form: Form) -> str | None:
        self._note(name, _text(form))
        return name

    def text(self, name: str, form: Form, default: str | None = None) -> str:
        self._note(name, _text(form), required=default is None)
        return name

    def texts(self, name: str, form: Form, most: int, _example: str) -> tuple[str, ...]:
        # A rule for each item of a list in a list would cost more than Kubernetes allows: a pattern, without sentence.
        about = f"Must be {form.rule}."
        items = {"description": about, "type": "string", "maxLength": form.longest, "pattern": _pattern(form)}
        self._note(name, {"type": "array", "minItems": 1, "maxItems": most, "items": items}, required=True)
        return (name,)

    def flag(self, name: str) -> bool:
        self._note(name, {"type": "boolean", "default": False})
        return False

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        self._note(name, {"type": "string", "enum": list(choices), "default": choices[0]})
        return choices[0]

    def seconds(self, name: str, default: float, most: str) -> float:
        self._note(name, {**_duration(most), "default": durations.text(default)})
        return default

    def child(self, name: str, _example: str) -> Node:
        return self._child(name, required=True)

    def optional_child(self, name: str, _example: str) -> Node | None:
        return self._child(name, required=False)

    def nodes(self, name: str, most: int, _example: str) -> list[Node]:
        return self._nodes(name, most, required=True)

    def optional_nodes(self, name: str, most: int, _example: str) -> list[Node]:
        return self._nodes(name, most, required=False)

    def renamed(self, _old: str, _new: str, _message: str) -> bool:
        """An old name has no place in the schema."""
        return False

    def not_built(self, name: str) -> None:
        """What would have no effect has no place in the schema."""

    def close(self, *_also: str) -> None:
        """Only what was asked for is a field: the schema says no more than that already."""

    def _child(self, name: str, *, required: bool) -> Node:
        child = _Noting(self._at(name), **_meaning(self._at(name)))
        self._note(name, child.schema, required=required)
        return child

    def _nodes(self, name: str, most: int, *, required: bool) -> list[Node]:
        item = _Noting(self._at(name))
        self._note(name, {"type": "array", "minItems": 1, "maxItems": most, "items": item.schema}, required=required)
        return [item]

    def _note(self, name: str, schema: Schema, *, required: bool = False) -> None:
        path = self._at(name)
        # A child is noted before it is asked for its own fields, so it must stay the object that it is.
        self.properties[name] = schema if "properties" in schema else {**_meaning(path), **schema}
        if required:
            self.schema.setdefault("required", []).append(name)
        elif "default" not in schema:
            self.properties[name]["nullable"] = True  # as `spec` takes it; where there is a default, null means that


def _meaning(path: str) -> dict[str, str]:
    return {"description": FIELDS[path]} if path in FIELDS else {}


def _pattern(form: Form) -> str:
    return f"^{form.pattern.pattern}$"


def _text(form: Form) -> Schema:
    schema = {"type": "string", "maxLength": form.longest}
    if form.pattern.flags & re.DOTALL:  # an expression, of which only its compiler can say more
        return {**schema, "minLength": 1}
    expression = f"self.matches({_quoted(_pattern(form))})"
    return {**schema, "x-kubernetes-validations": [rule(expression, f"must be {form.rule}")]}


def _duration(most: str) -> Schema:
    bounds = f"duration(self) > duration('0s') && duration(self) <= duration('{most}')"
    valid = rule(f"{is_duration('self')} && {bounds}", duration_rule(most))
    return {"type": "string", "maxLength": durations.LONGEST, "x-kubernetes-validations": [valid]}


def is_duration(operand: str) -> str:
    """CEL: whether a text is one. Whoever computes with it asks first, lest one mistake be told twice."""
    return f"{operand}.matches({_quoted(f'^{durations.WHOLE.pattern}$')})"


def _quoted(pattern: str) -> str:
    """A literal of CEL."""
    return "r'" + pattern.replace("'", r"[\x27]") + "'"
