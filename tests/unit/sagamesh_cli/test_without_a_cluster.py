"""The command line as `pip install sagamesh[cli]` gives it: nothing that speaks to a cluster is there to be imported.

tests/images installs it so; here the import of these libraries is refused.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from sagamesh_cli.main import MODULES

ROOT = Path(__file__).parents[3]
EXAMPLE = str(ROOT / "examples" / "02-create-order" / "saga.yaml")
NOBODY = "http://127.0.0.1:9"
"""Nobody listens at the port `discard`."""
COMMANDS = {
    **{f"{command} --help": (command, "--help") for command in MODULES},
    "check": ("check", EXAMPLE),
    "graph": ("graph", EXAMPLE),
    "dev": ("dev", EXAMPLE),
    "get": ("get",),
    "get SAGA": ("get", "create-order", "-n", "shop"),
    "get SAGA ID": ("get", "create-order", "o-1", "--url", NOBODY),
    "start": ("start", "order.placed", "--url", NOBODY),
    "doctor": ("doctor",),
    "doctor of a context": ("doctor", "--context", "here", "--nats", "nats://127.0.0.1:9"),
    "doctor of NATS": ("doctor", "--nats", "nats://127.0.0.1:9"),
}
PROGRAM = """
import json, sys
for name in ("kopf", "kubernetes", "aiohttp", "cryptography"):
    sys.modules[name] = None  # its import fails
from typer.testing import CliRunner
from sagamesh_cli.main import app
for name, arguments in json.load(sys.stdin).items():
    ended = CliRunner().invoke(app, arguments)
    fault = "" if ended.exception is None or isinstance(ended.exception, SystemExit) else repr(ended.exception)
    print(json.dumps([name, ended.exit_code, ended.stdout, ended.stderr, fault]))
"""


class Ended(NamedTuple):
    exit_code: int
    stdout: str
    stderr: str
    fault: str


@pytest.fixture(scope="module")
def ended() -> dict[str, Ended]:
    """How each command ended, all of them in one process."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], input=json.dumps(COMMANDS), capture_output=True, text=True, check=True
    )
    lines = map(json.loads, done.stdout.splitlines())
    return {name: Ended(*rest) for name, *rest in lines}


@pytest.mark.parametrize("command", MODULES)
def test_every_command_has_help(command: str, ended: dict[str, Ended]) -> None:
    assert ended[f"{command} --help"].exit_code == 0
    assert "Usage: " in ended[f"{command} --help"].stdout


@pytest.mark.parametrize("command", ["check", "graph"])
def test_a_file_of_sagas_needs_no_cluster(command: str, ended: dict[str, Ended]) -> None:
    assert ended[command]._replace(stdout="") == (0, "", "", "")


def test_dev_needs_none_either(ended: dict[str, Ended]) -> None:
    """All that it lacks are the addresses of services."""
    assert (ended["dev"].exit_code, ended["dev"].fault) == (2, "")
    assert ended["dev"].stderr.startswith("sagamesh: where does the service of ")


@pytest.mark.parametrize("command", ["get SAGA ID", "start"])
def test_instances_are_asked_of_a_sidecar(command: str, ended: dict[str, Ended]) -> None:
    assert (ended[command].exit_code, ended[command].fault) == (3, "")
    assert ended[command].stderr.startswith(f"sagamesh: no API can be reached at {NOBODY}")


@pytest.mark.parametrize("command", ["get", "get SAGA", "doctor", "doctor of a context"])
def test_what_needs_a_cluster_says_what_to_install(command: str, ended: dict[str, Ended]) -> None:
    sentence = "the client of Kubernetes is not installed here; install it with `pip install 'sagamesh[cluster]'`"
    assert ended[command] == (3, "", f"sagamesh: {sentence}\n", "")


def test_doctor_looks_at_what_is_left(ended: dict[str, Ended]) -> None:
    cluster, hint, _, nats, failure, *_ = ended["doctor of NATS"].stdout.splitlines()[1:]
    assert cluster == "  skipped  there is a cluster: the client of Kubernetes is not installed here"
    assert hint.strip() == "pip install 'sagamesh[cluster]'"
    assert nats == "nats"
    assert failure.startswith("  failure  the server answers: ")
    assert (ended["doctor of NATS"].exit_code, ended["doctor of NATS"].stderr) == (1, "")
