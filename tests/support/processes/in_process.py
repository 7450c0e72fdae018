"""The product's programs in this process: what they say on both channels and how they would exit, in milliseconds.

For the wording of a sentence. That a process says it, too, and leaves nothing behind where it is killed, is shown by
`command`.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import resource
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

from typer.testing import CliRunner

from sagamesh_cli.main import app
from sagamesh_sidecar.__main__ import main
from support.processes.command import MARK, WIDTH, relatives

LOGGERS = ("", "uvicorn", "asyncio", "nats")
"""Those that a program sets up for the process that it takes for its own."""


class Ended(NamedTuple):
    """How a program ended, and all that it said."""

    code: int
    said: str
    complained: str


def sagamesh(directory: Path, *arguments: object, **environment: str) -> Ended:
    """`sagamesh ...` from its first argument to its exit code. Nothing is left of what it has started."""
    with _as_a_process(directory, environment):
        done = CliRunner().invoke(app, [*map(str, arguments)], prog_name="sagamesh", catch_exceptions=False)
    return Ended(done.exit_code, done.stdout, done.stderr)


def sidecar(directory: Path, *arguments: str, **environment: str) -> Ended:
    """`sagamesh-sidecar ...`, which must end by itself."""
    said, complained = io.StringIO(), io.StringIO()
    with (
        _as_a_process(directory, environment),
        patch.object(sys, "argv", ["sagamesh-sidecar", *arguments]),
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(complained),
    ):
        try:
            main()
            code: object = 0
        except SystemExit as end:
            code = end.code
    assert isinstance(code, int), code
    return Ended(code, said.getvalue(), complained.getvalue())


@contextlib.contextmanager
def _as_a_process(directory: Path, environment: dict[str, str]) -> Iterator[None]:
    """What a process has of its own is what it was before: place, environment, log, limits, children."""
    mark = secrets.token_hex(8)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    loggers = [(logger, logger.level, logger.handlers[:]) for logger in map(logging.getLogger, LOGGERS)]
    try:
        with contextlib.chdir(directory), patch.dict(os.environ, {"COLUMNS": WIDTH, MARK: mark, **environment}):
            yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for logger, level, handlers in loggers:
            logger.setLevel(level)
            logger.handlers[:] = handlers
    assert relatives(mark) == {}
