"""The product's part in it: the real modules, or what becomes of them by a few edits of their source."""

from __future__ import annotations
import __future__

import inspect
import sys
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple

from sagamesh.distribution import plan
from sagamesh_jetstream.upkeep import distribute, fleet, lookups, retire
from sagamesh_operator.sagas import reconciler, record, standing

MODULES: tuple[ModuleType, ...] = (plan, lookups, distribute, fleet, retire, standing, record, reconciler)
"""Each after those that it imports of these."""

Edit = tuple[ModuleType, str, str]
"""In that module this text, which must be there once, is that text."""


class Product(NamedTuple):
    """What the world is made of: the operator's loop, and what it takes for left over."""

    Reconciler: Any
    left_over: Any


REAL = Product(reconciler.Reconciler, retire.left_over)


def edited(edits: Sequence[Edit]) -> Product:
    """The product with these edits: the modules are made anew, and those that are in use stay as they are."""
    sources: dict[ModuleType, str] = {module: inspect.getsource(module) for module in MODULES}
    for module, old, new in edits:
        assert sources[module].count(old) == 1, f"{old!r} stands {sources[module].count(old)} times in it, not once"
        sources[module] = sources[module].replace(old, new)
    made = _anew(sources)
    return Product(made[reconciler.__name__].Reconciler, made[retire.__name__].left_over)


def _anew(sources: Mapping[ModuleType, str]) -> dict[str, Any]:
    """While they are made, the new ones stand in `sys.modules`: so each takes from the others what is new."""
    flags = __future__.annotations.compiler_flag
    try:
        for module, source in sources.items():
            new = ModuleType(module.__name__)
            new.__file__ = module.__file__
            sys.modules[module.__name__] = new
            exec(compile(source, module.__file__ or "", "exec", flags=flags), vars(new))
        return {module.__name__: sys.modules[module.__name__] for module in sources}
    finally:
        sys.modules.update({module.__name__: module for module in sources})
