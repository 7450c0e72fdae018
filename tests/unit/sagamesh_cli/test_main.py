"""The program as a whole: what it is called with, what it exits with, and that it never shows a traceback."""

import shlex
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sagamesh_cli import options, waiting
from sagamesh_cli.main import EXAMPLES, MODULES, Lazy, app

PROGRAM = Path(sysconfig.get_path("scripts")) / "sagamesh"


def sagamesh(*args: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    done = subprocess.run([PROGRAM, *args], input=stdin, capture_output=True, check=False, timeout=60)
    assert b"Traceback" not in done.stderr
    return done


def test_version() -> None:
    done = sagamesh("--version")
    assert (done.returncode, done.stdout.decode()) == (0, f"sagamesh {version('sagamesh')}\n")


@pytest.mark.parametrize("command", MODULES)
def test_every_command_has_help(command: str) -> None:
    done = sagamesh(command, "-h")
    assert done.returncode == 0
    assert done.stdout.decode().startswith(f"Usage: sagamesh {command} ")


@pytest.mark.parametrize("command", MODULES)
def test_its_help_ends_with_its_examples_line_by_line(command: str) -> None:
    shown = CliRunner().invoke(app, [command, "--help"], terminal_width=80).stdout
    _, _, examples = shown.partition("\n  Examples:\n")
    assert [line.removeprefix("    ") for line in examples.splitlines()] == EXAMPLES[command].split("\n")[1:]


def typed() -> Iterator[tuple[str, list[str]]]:
    """Each command line of the examples, by command; what a shell does with it is done: pipes and redirections."""
    for command, lines in EXAMPLES.items():
        for line in lines.strip().splitlines():
            if not line.startswith("#"):
                words = shlex.split(line.rpartition("| ")[2].partition(" > ")[0])
                yield command, words


@pytest.mark.parametrize(("command", "words"), list(typed()))
def test_an_example_parses(command: str, words: list[str]) -> None:
    """Whether its files are there, and who answers, is not looked at."""
    assert words[:2] == ["sagamesh", command]
    with Lazy()[command].make_context(command, words[2:]) as parsed:
        waiting.seconds(parsed.params.get("wait"))
        for name, url in options.pairs("--app", parsed.params.get("app"), ""):
            assert options.service(name, url)


def test_every_command_has_examples_in_the_order_of_the_help() -> None:
    assert list(EXAMPLES) == list(MODULES)
    assert all(len(line) <= 76 for lines in EXAMPLES.values() for line in lines.splitlines())


def test_help_names_every_command() -> None:
    done = sagamesh("--help")
    assert done.returncode == 0
    assert all(f"\n  {command} " in done.stdout.decode() for command in MODULES)


def test_a_wrong_command_is_usage_and_says_which_was_meant() -> None:
    done = sagamesh("chekc")
    assert done.returncode == 2
    assert b"No such command 'chekc'. Did you mean 'check'?" in done.stderr


def test_a_mistake_is_one_sentence() -> None:
    done = sagamesh("check", "/none.yaml")
    assert (done.returncode, done.stdout, done.stderr) == (2, b"", b"sagamesh: there is no file /none.yaml\n")


def test_junk_is_one_sentence() -> None:
    done = sagamesh("graph", "-", stdin=bytes(range(256)))
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr == b"sagamesh: <stdin>:2: this is not text in UTF-8\n"


def test_a_reader_may_go_away() -> None:
    script = f"{PROGRAM} --help | true"
    done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, check=False, timeout=60)
    assert done.stderr == b""


@pytest.mark.parametrize("module", ["yaml", "cel_expr_python", "kubernetes", "nats", "rich", "asyncio", "http.client"])
def test_the_start_waits_for_nothing_heavy(module: str) -> None:
    code = f"import sys, sagamesh_cli.main; sys.exit({module!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
