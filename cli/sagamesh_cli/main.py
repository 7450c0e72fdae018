"""The command line `sagamesh`. Which module holds a command is said here, what it does there.

Exit codes: 0 done; 1 findings, or a saga that failed; 2 usage; 3 the environment (port, NATS, file system, API). A
mistake is answered with one sentence on stderr, never with a traceback.
"""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from sagamesh_cli.output import complain
from sagamesh_cli.trouble import EnvironmentTrouble

COMMANDS = {
    "check": "sagamesh_cli.check",
    "graph": "sagamesh_cli.graph",
    "dev": "sagamesh_cli.dev",
    "demo": "sagamesh_cli.demo",
    "start": "sagamesh_cli.steer",
    "get": "sagamesh_cli.steer",
    "trace": "sagamesh_cli.steer",
    "cancel": "sagamesh_cli.steer",
}
"""Command -> the module with a function of that name, in the order of the help."""


class Mistake(Exception):  # noqa: N818 - no error of ours: the user's
    """Something that the user must mend. The text says what and how."""

    exit_code = 2


class Commands(TyperGroup):
    """Imports a command's module when that command is called (or help asks for all): `check` needs no NATS client."""

    def list_commands(self, ctx: typer.Context) -> list[str]:
        return list(COMMANDS)
