"""The rights that the pages tell of are those that the chart grants: no more and no less."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

import pytest

from sagamesh_tools.chart import CHART, ROOT, render
from support.processes.injecting import NAME, SECRET

Right = tuple[str, str, str, str, frozenset[str]]
"""Whose, the API group, the resource, the only name that counts, the verbs."""

ROW = re.compile(r"`(?P<resource>[\w/]+)`(?: of `(?P<group>[\w.]+)`)?(?:, only (?P<only>its own|`[\w-]+`))?")
ITS_OWN = {"secrets": SECRET, "mutatingwebhookconfigurations": NAME}
WHERE = {"ClusterRole": "cluster", "Role": "its namespace"}


def granted(component: str) -> Iterator[tuple[Right, str]]:
    """What the chart grants, and where."""
    for document in render():
        if document["kind"] in WHERE and document["metadata"]["labels"]["app.kubernetes.io/component"] == component:
            for rule in document["rules"]:
                assert rule.keys() <= {"apiGroups", "resources", "resourceNames", "verbs"}
                names = rule.get("resourceNames", [""])
                for group, resource, name in itertools.product(rule["apiGroups"], rule["resources"], names):
                    yield (component, group, resource, name, frozenset(rule["verbs"])), WHERE[document["kind"]]


def rows(text: str) -> list[list[str]]:
    """The table of the section *Rights*, without its head."""
    section = re.split(r"^## Rights$", text, flags=re.MULTILINE)[1].partition("\n## ")[0]
    return [[cell.strip() for cell in row.split("|")[1:-1]] for row in re.findall(r"^\|.*", section, re.MULTILINE)][2:]


def told(component: str, resource: str, verbs: str) -> Right:
    found = ROW.fullmatch(resource)
    assert found, resource
    only = found["only"] or ""
    name = ITS_OWN[found["resource"]] if only == "its own" else only.strip("`")
    return component, found["group"] or "", found["resource"], name, frozenset(verbs.split(", "))


@pytest.mark.parametrize(("component", "page"), [("operator", "operator.md"), ("injector", "injection.md")])
def test_a_page_tells_every_right(component: str, page: str) -> None:
    table = rows((ROOT / "docs" / page).read_text())
    rights = [told(component, resource, verbs) for resource, verbs, _ in table]
    assert sorted(rights, key=str) == sorted((right for right, _ in granted(component)), key=str)


def test_the_chart_tells_every_right_and_where() -> None:
    """Whoever switches `rbac.create` off grants what stands there."""
    table = rows((CHART / "README.md").read_text())
    rights = [(told(who, resource, verbs), where) for who, where, resource, verbs in table]
    assert sorted(rights, key=str) == sorted([*granted("operator"), *granted("injector")], key=str)
