"""The command line `sagamesh`. Which module holds a command is said here; what it does, there.

Exit codes: 0 done; 1 findings, or a saga that failed; 2 usage; 3 the environment (port, NATS, file system, API,
cluster). A mistake is answered with one sentence on stderr, never with a traceback.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module, metadata
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from sagamesh_cli.errors import EnvironmentFault
from sagamesh_cli.output import Complaint, complain

MODULES = {
    "check": "sagamesh_cli.commands.write.check",
    "graph": "sagamesh_cli.commands.write.graph",
    "dev": "sagamesh_cli.commands.here.dev",
    "demo": "sagamesh_cli.commands.here.demo",
    "start": "sagamesh_cli.commands.steer.start",
    "get": "sagamesh_cli.commands.see.get",
    "trace": "sagamesh_cli.commands.see.trace",
    "cancel": "sagamesh_cli.commands.steer.cancel",
    "doctor": "sagamesh_cli.commands.see.doctor",
}
"""Command -> the module that holds a function of that name, in the order of the help."""

EXAMPLES = {
    "check": """
# what is wrong with a saga, and how to mend it
sagamesh check saga.yaml
# what is wrong with those of a cluster
kubectl get sagas -o yaml | sagamesh check -
# what a code means
sagamesh check --explain SM004""",
    "graph": """
# the steps, and the way back
sagamesh graph saga.yaml
# a flowchart
sagamesh graph saga.yaml -o mermaid > saga.mmd""",
    "dev": """
# a saga beside one service, and its API where `start` and `get` look for it
sagamesh dev saga.yaml --app orders=http://127.0.0.1:9001 --api orders=3650
# the same, with a log that is kept
sagamesh dev saga.yaml --app orders=http://127.0.0.1:9001 --state log""",
    "demo": """
# fifty orders over four services, with crashes
sagamesh demo
# more of them, and others
sagamesh demo --orders 200 --seed 1""",
    "start": """
# an event with its data
sagamesh start order.placed --data '{"orderId": "o-1", "total": 300}'
# data out of a file; wait for the end
sagamesh start order.placed --data @order.json --wait 30s""",
    "get": """
# the sagas of all namespaces
sagamesh get -A
# the same, with why one is not ready
sagamesh get -A -o wide
# one saga, with its conditions and participants
sagamesh get checkout -n shop
# an instance: its steps, and what fails just now
sagamesh get checkout o-1""",
    "trace": """
# what has happened to an instance
sagamesh trace checkout o-1
# the same for programs, once it has ended
sagamesh trace checkout o-1 --wait 30s -o json""",
    "cancel": """
# undo what an instance did
sagamesh cancel checkout o-1 --reason 'the customer rang'""",
    "doctor": """
# is all well with the cluster?
sagamesh doctor
# and with NATS, as a sidecar sees it?
sagamesh doctor --nats nats://127.0.0.1:4222 --nats-dir login""",
}
"""Command -> lines of a shell: the end of its help. `make manifests` puts them into docs/cli.md."""


class Lazy(Mapping[str, Any]):
    """The commands, each imported when it is asked for: `check` should not wait for what only `dev` needs."""

    def __getitem__(self, name: str) -> Any:
        function = getattr(import_module(MODULES[name]), name)
        single = typer.Typer(add_completion=False, rich_markup_mode=None)
        examples = EXAMPLES[name].replace("\n", "\n  ")
        single.command(name, epilog=f"\b\nExamples:{examples}")(function)  # \b: its lines stay lines
        return get_command(single)

    def __iter__(self) -> Iterator[str]:
        return iter(MODULES)

    def __len__(self) -> int:
        return len(MODULES)


class Commands(TyperGroup):
    """All commands; here, and only here, a fault becomes a sentence and an exit code."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        lazy: Any = Lazy()  # declared as mutable, never changed
        self.commands = lazy

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (Complaint, EnvironmentFault) as fault:
            complain(fault)
            raise typer.Exit(fault.exit_code) from None


app = typer.Typer(
    name="sagamesh",
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"sagamesh {metadata.version('sagamesh')}")
        raise typer.Exit


@app.callback()
def sagamesh(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Sagas over several services, declared once, checked before they run, carried out by the services themselves."""


def main() -> None:
    app(prog_name="sagamesh")
