"""How the processes of this package end when they cannot begin: a sentence on standard error, and a code."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from sagamesh.errors import SettingsError
from sagamesh_operator.ports import ClusterUnavailable


@contextmanager
def exits(program: str) -> Iterator[None]:
    """Exit 2: a setting is missing or wrong. Exit 3: a port or the cluster cannot be had."""
    try:
        yield
    except (SettingsError, ClusterUnavailable, OSError) as error:
        print(f"{program}: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, SettingsError) else 3)
