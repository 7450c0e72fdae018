"""`--ready-file`: what listens where, written once all of it does, and gone when it no longer does."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sagamesh_cli.errors import EnvironmentFault
from sagamesh_sidecar.adapters.files import write_whole


def clear(path: Path | None) -> None:
    """Away with the file of one that was killed: whoever waits for it would take it for ours."""
    if path is None:
        return
    if not path.parent.is_dir():
        raise EnvironmentFault(f"--ready-file {path} cannot be written: there is no such directory")
    with _writing(path):
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def present(path: Path | None, listens: Mapping[str, Any]) -> Iterator[None]:
    """Nobody sees half of it; removed at the end."""
    if path is None:
        yield
        return
    with _writing(path):
        write_whole(path, json.dumps(listens).encode())
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EnvironmentFault(f"--ready-file {path} cannot be written: {error.strerror}") from error
