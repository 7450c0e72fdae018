"""Makes one function raise, before anything else is imported: a plugin of pytest, for `decided` alone.

The function's code is replaced, not its name: so it raises for whoever holds it, by whatever name.
"""

from __future__ import annotations

import os
from importlib import import_module
from inspect import unwrap
from types import CodeType, FunctionType
from typing import Any

VARIABLE = "SAGAMESH_SABOTAGED"
"""Names the function, as `module:function` or `module:Class.method`."""


def sabotage(symbol: str) -> None:
    """Make it raise from now on. Raises LookupError for a symbol that is no function of ours."""
    function = function_of(symbol)
    names = function.__code__.co_freevars
    function.__code__ = _raising(symbol).replace(co_freevars=names, co_name=function.__code__.co_name)


def function_of(symbol: str) -> FunctionType:
    """The function behind a name: of a module, of a class, of a property, or under decorators."""
    module, _, path = symbol.partition(":")
    try:
        named: Any = import_module(module)
        for name in path.split("."):
            named = getattr(named, name)
    except (ImportError, AttributeError) as error:
        raise LookupError(f"{symbol}: {error}") from error
    inner: Any = unwrap(getattr(named, "fget", None) or getattr(named, "__func__", named))
    if isinstance(inner, FunctionType):
        return inner
    raise LookupError(f"{symbol} is no function")


def _raising(symbol: str) -> CodeType:
    """The code of a function that takes anything and raises."""

    def template(*_args: object, **_named: object) -> None:
        raise RuntimeError("sabotaged")

    return template.__code__.replace(co_filename=f"<{symbol} raises>")


if os.environ.get(VARIABLE):
    sabotage(os.environ[VARIABLE])
