"""Modules made anew from an edited source, while those that are in use stay as they are."""

from __future__ import annotations
import __future__

import inspect
import sys
from collections.abc import Mapping, Sequence
from types import ModuleType

Edit = tuple[ModuleType, str, str]
"""In that module this text, which must be there once, is that text."""


def made_anew(modules: Sequence[ModuleType], edits: Sequence[Edit]) -> dict[str, ModuleType]:
    """These modules with the edits, by name. `modules`: each after those that it imports of them."""
    sources: dict[ModuleType, str] = {module: inspect.getsource(module) for module in modules}
    for module, old, new in edits:
        assert sources[module].count(old) == 1, f"{old!r} stands {sources[module].count(old)} times in it, not once"
        sources[module] = sources[module].replace(old, new)
    return _made(sources)


def _made(sources: Mapping[ModuleType, str]) -> dict[str, ModuleType]:
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
