"""Which rows of the fault catalogue every run of the tests tries: one of each file. The rest is a tier of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == HERE and item.get_closest_marker("of_its_kind") is None:
            item.add_marker(pytest.mark.fault)
