"""The rules of the house, kept by reading syntax trees: where things may stand, and what may stand there.

import-linter keeps who may import whom among ours; here is what it cannot see. Every check is tried on snippets that
break it, so that it cannot be blind.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import socket
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("core", "jetstream", "sidecar", "operator", "cli", "tools", "bench")
HOUSE = ("core", "jetstream", "sidecar", "operator", "cli", "tools", "examples")


def modules(*rooms: str) -> list[Path]:
    return sorted(path for room in rooms for path in (ROOT / room).rglob("*.py"))


def named(path: object) -> str:
    return str(path.relative_to(ROOT)) if isinstance(path, Path) else ""


def imports(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """(module, name) of each import, wherever it stands; the name is empty for a whole module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (("." * node.level + (node.module or ""), alias.name) for alias in node.names)


# -- core is pure ----------------------------------------------------------------------------------------------------

ALLOWED = {
    "__future__",
    "base64",
    "collections",
    "collections.abc",
    "dataclasses",
    "datetime",
    "difflib",
    "enum",
    "functools",
    "graphlib",
    "hashlib",
    "itertools",
    "math",
    "msgspec",
    "msgspec.structs",
    "operator",
    "re",
    "struct",
    "types",
    "typing",
    "urllib.parse",
}
ONLY_HERE = {
    "cel/expressions.py": {"cel_expr_python": {"cel"}},
    "simulation/chooser.py": {"random": {"Random"}},
}
CLOCKS = {"now", "utcnow", "today"}
WORLD = {"open", "print", "input", "exec", "eval", "__import__", "breakpoint", "globals"}


def impurities(source: str, place: str = "decision.py") -> list[str]:
    """What core may not do, in a module of that name (or in that package)."""
    tree = ast.parse(source)
    special = ONLY_HERE.get(place, {})
    found = []
    for module, name in imports(tree):
        own = module == "sagamesh" or module.startswith("sagamesh.")
        if not own and module not in ALLOWED and name not in special.get(module, ()):
            found.append(f"imports {module} {name}".rstrip())
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in CLOCKS:
            found.append(f"line {node.lineno} asks a clock: {node.attr}")
        if isinstance(node, ast.Name) and node.id in WORLD and isinstance(node.ctx, ast.Load):  # not a field so called
            found.append(f"line {node.lineno} reaches out: {node.id}")
        if isinstance(node, ast.AsyncFunctionDef | ast.AsyncFor | ast.AsyncWith | ast.Await):
            found.append(f"line {node.lineno} waits")
    return found


def place_of(path: Path) -> str:
    place = f"{path.parent.name}/{path.name}"
    return place if place in ONLY_HERE else path.name


@pytest.mark.parametrize("path", modules("core"), ids=named)
def test_core_is_pure(path: Path) -> None:
    assert impurities(path.read_text(), place_of(path)) == []


@pytest.mark.parametrize(
    "source",
    [
        "import asyncio",
        "import time",
        "import random",
        "from random import Random",
        "import os",
        "import os.path",
        "from os import environ",
        "import socket",
        "import pathlib",
        "from pathlib import Path",
        "import logging",
        "import threading",
        "import subprocess",
        "import secrets",
        "import uuid",
        "import sys",
        "import json",
        "import nats",
        "import sagamesh_sidecar",
        "from sagamesh_sidecar import relay",
        "from . import decision",
        "from cel_expr_python import cel",
        "def f():\n    import time",
        "if True:\n    from asyncio import sleep",
        "datetime.now()",
        "datetime.now(UTC)",
        "datetime.datetime.now(tz=UTC)",
        "clock = datetime.now",
        "datetime.utcnow()",
        "date.today()",
        "open('x')",
        "print('x')",
        "input()",
        "list(map(print, x))",
        "__import__('time')",
        "eval('1')",
        "async def f(): ...",
    ],
)
def test_what_is_impure_is_seen(source: str) -> None:
    assert impurities(source)


@pytest.mark.parametrize(
    ("source", "place"),
    [
        ("import random", "simulation/chooser.py"),
        ("from random import random", "simulation/chooser.py"),
        ("from random import Random, choice", "simulation/chooser.py"),
        ("from random import SystemRandom", "simulation/chooser.py"),
        ("from random import Random", "world.py"),
        ("from cel_expr_python import cel", "simulation/chooser.py"),
        ("import cel_expr_python", "cel/expressions.py"),
        ("from cel_expr_python import cel", "cel/cost.py"),
        ("from random import Random", "cel/expressions.py"),
    ],
)
def test_an_exception_is_no_wider_than_it_must_be(source: str, place: str) -> None:
    assert impurities(source, place)


@pytest.mark.parametrize(
    ("source", "place"),
    [
        ("import msgspec\nfrom msgspec import Raw\nfrom msgspec.structs import replace", "codec.py"),
        ("from sagamesh import registers\nfrom sagamesh.effects import Ack", "decision.py"),
        ("from random import Random", "simulation/chooser.py"),
        ("from cel_expr_python import cel", "cel/expressions.py"),
        ("from datetime import UTC, datetime\ndatetime.fromtimestamp(0, UTC)", "variables.py"),
        ("class Rules:\n    open: bool = False", "local.py"),
    ],
)
def test_what_is_pure_is_let_through(source: str, place: str) -> None:
    assert impurities(source, place) == []


# -- numbers ---------------------------------------------------------------------------------------------------------


def numbers_without_a_word(source: str) -> list[int]:
    """The lines of constants with a number for which neither a comment, nor a sentence below, says where it is from."""
    lines, found = source.splitlines(), []
    for node, following in pairwise([*ast.parse(source).body, ast.Pass()]):
        if not isinstance(node, ast.Assign | ast.AnnAssign) or not any(map(_is_number, ast.walk(node))):
            continue
        first = node.lineno - 1  # of the block of lines that it stands in
        while first and lines[first - 1].strip():
            first -= 1
        said = lines[node.lineno - 1 : node.end_lineno] + lines[first : first + 1]
        told = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
        if not told and not any("# " in line for line in said):
            found.append(node.lineno)
    return found


def _is_number(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) in (int, float)


@pytest.mark.parametrize("path", modules("core", "jetstream", "operator"), ids=named)
def test_every_number_says_where_it_is_from(path: Path) -> None:
    assert numbers_without_a_word(path.read_text()) == []


@pytest.mark.parametrize(
    "source",
    ["A = 1", "A: int = 1", "A = B * 2.5", "# why\n\nA = 1", "A, B = 1, 2", "A = f(1)", 'A = 1\nB = ""\n"""Text."""'],
)
def test_a_number_without_a_word_is_seen(source: str) -> None:
    assert numbers_without_a_word(source) == [source.count("\n", 0, source.index("A")) + 1]


@pytest.mark.parametrize(
    "source",
    ["A = 1  # why", "# why\nA = 1", "# why\nA = 1\nB = 2", 'A = 1\n"""Why."""', "A = True", 'A = "1"', "f(1)"],
)
def test_a_number_with_a_word_is_let_through(source: str) -> None:
    assert numbers_without_a_word(source) == []


# -- size ------------------------------------------------------------------------------------------------------------

LONGEST = 400


@pytest.mark.parametrize("path", modules(*HOUSE), ids=named)
def test_no_module_is_longer_than_one_can_read(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST


MOST = 12
"""Modules of a folder: what one can take in at a look, and name the folder by."""


def crowded(paths: Iterable[Path]) -> dict[str, int]:
    """The folders with too many modules, and how many. What makes a folder a package, or a program, does not count."""
    counted = Counter(path.parent for path in paths if path.name not in ("__init__.py", "__main__.py"))
    return {named(folder): number for folder, number in counted.items() if number > MOST}


def test_no_folder_has_more_modules_than_one_can_take_in() -> None:
    assert crowded(modules(*PACKAGES)) == {}


def test_a_folder_with_too_many_modules_is_seen() -> None:
    folder = ROOT / "core" / "sagamesh"
    full = [folder / f"{number}.py" for number in range(MOST)]
    full += [folder / name for name in ("__init__.py", "__main__.py", "rules/local.py")]
    assert crowded(full) == {}
    assert crowded([*full, folder / "last.py"]) == {"core/sagamesh": MOST + 1}


def test_all_rooms_were_searched() -> None:
    for room in {*HOUSE, *PACKAGES}:
        assert modules(room), f"{room} is empty or was moved"


# -- names -----------------------------------------------------------------------------------------------------------


def classes(source: str) -> Iterator[str]:
    """The names of all classes, wherever in a module they stand."""
    yield from (node.name for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ClassDef))


def doubled(sources: Mapping[str, str]) -> dict[str, list[str]]:
    """The names that more than one class has, and the modules (name -> source) where they do."""
    found = defaultdict(list)
    for module, source in sources.items():
        for name in classes(source):
            found[name].append(module)
    return {name: places for name, places in found.items() if len(places) > 1}


def test_each_class_has_a_name_of_its_own() -> None:
    assert doubled({named(path): path.read_text() for path in modules(*PACKAGES)}) == {}


@pytest.mark.parametrize(
    "source",
    [
        "class Answer: ...",
        "class Answer(Struct, frozen=True):\n    status: int",
        "@dataclass\nclass Answer:\n    pass",
        "class Outer:\n    class Answer: ...",
        "def f():\n    class Answer: ...",
        "if True:\n    class Answer: ...",
    ],
)
def test_a_name_that_stands_twice_is_seen(source: str) -> None:
    there = "class Answer(NamedTuple): ..."
    assert doubled({"here": source, "there": there}) == {"Answer": ["here", "there"]}
    assert doubled({"here": f"{there}\n{source}"}) == {"Answer": ["here", "here"]}


@pytest.mark.parametrize(
    "source",
    ["class Answers: ...", "from there import Answer", "Answer = Reply | None", "def Answer(): ...", "answer = 1"],
)
def test_what_is_no_second_class_is_let_through(source: str) -> None:
    assert doubled({"here": source, "there": "class Answer: ..."}) == {}


# -- the room named operator -----------------------------------------------------------------------------------------


def test_operator_does_not_shadow_the_standard_library() -> None:
    assert (ROOT / "operator").is_dir()
    assert not (ROOT / "operator" / "__init__.py").exists()


# -- subjects --------------------------------------------------------------------------------------------------------

SUBJECT_MAKER = "core/sagamesh/log/registers.py"
PREFIX = re.compile(r"(^|[^\w.$])(saga\.|SAGA_)([\w*-]+[._])*$")
"""The beginning of a subject or of a stream's name, at the end of a piece of text: something is about to follow."""
TEMPLATE = re.compile(r"(^|[^\w.$])(saga\.|SAGA_)([\w-]+[._])*(\{|%[sr(]|[*>])")
"""The same in one piece, with a placeholder or a wildcard."""


def subjects_formatted(source: str) -> list[int]:
    """The lines on which a subject (or a stream's name) is put together from parts."""
    return sorted({node.lineno for node in ast.walk(ast.parse(source)) if _formats(node)})


def _formats(node: ast.AST) -> bool:
    match node:
        case ast.JoinedStr(values=parts):  # f"saga.{namespace}..."
            pieces = [part.value if isinstance(part, ast.Constant) else None for part in parts]
            return any(piece and after is None and PREFIX.search(piece) for piece, after in pairwise(pieces))
        case ast.BinOp(left=ast.Constant(value=str(text)), op=ast.Add()):  # "saga." + namespace
            return bool(PREFIX.search(text))
        case ast.Constant(value=str(text)):  # "saga.{}.{}".format, "saga.%s", "saga.*.>"
            return bool(TEMPLATE.search(text))
        case ast.Call(func=ast.Attribute(attr="join"), args=[ast.List(elts=[first, *_]) | ast.Tuple(elts=[first, *_])]):
            return isinstance(first, ast.Constant) and first.value in ("saga", "SAGA")
        case _:
            return False


@pytest.mark.parametrize("path", [p for p in modules(*HOUSE) if named(p) != SUBJECT_MAKER], ids=named)
def test_only_registers_formats_a_subject(path: Path) -> None:
    assert subjects_formatted(path.read_text()) == []


def test_those_that_format_subjects_are_seen_to_do_so() -> None:
    assert subjects_formatted((ROOT / SUBJECT_MAKER).read_text())


@pytest.mark.parametrize(
    "source",
    [
        'f"saga.{namespace}.{saga}.>"',
        'f"saga.shop.{saga}"',
        'f"saga.*.{saga}"',
        'f"SAGA_{namespace}_{saga}"',
        'f"SAGA_shop_{saga}"',
        'f"x {y} saga.{z}"',
        '"saga.{}.{}".format(a, b)',
        '"saga.%s.%s" % (a, b)',
        '"saga.%(namespace)s" % x',
        '"saga." + namespace',
        '"saga.shop." + saga + ".>"',
        '"SAGA_" + namespace',
        '"saga.>"',
        '"saga.*.*.*._.start"',
        '"saga.shop.checkout.>"',
        '"SAGA_{}".format(x)',
        '".".join(["saga", namespace, saga])',
        '".".join(("saga", *parts))',
        '"_".join(["SAGA", namespace])',
    ],
)
def test_a_subject_that_is_formatted_is_seen(source: str) -> None:
    assert subjects_formatted(source)


@pytest.mark.parametrize(
    "source",
    [
        '"saga.name"',
        '{"saga.id": instance.id, "saga.run": run}',
        'name.startswith("saga.")',
        '"saga.yaml"',
        'f"{folder}/saga.yaml"',
        'f"the saga. {what} follows"',
        'f"saga {name!r} is gone"',
        'f"start.saga.{x}"',
        '".".join(["x", "saga"])',
        '"sagas.%s"',
    ],
)
def test_what_only_looks_like_a_subject_is_let_through(source: str) -> None:
    assert subjects_formatted(source) == []


# -- names that one module spells ------------------------------------------------------------------------------------

PACKAGES = ("core", "jetstream", "sidecar", "operator", "cli", "tools", "bench")
SPELLED_BY = {
    "core/sagamesh/distribution/buckets.py": re.compile(r"KV_|\$KV|\.(active|retired)\b"),
    "core/sagamesh/api_group.py": re.compile(r"sagamesh\.dev\b"),
    "core/sagamesh/log/line_fields.py": re.compile(r"^trace_id$"),
}
"""Buckets and the words that their keys end with; the API group; the fields of a line about an instance, all of which
stand where one of them does. Docstrings and comments are free."""


def spelled(source: str, name: re.Pattern[str]) -> list[int]:
    """The lines on which a text holds the name."""
    tree = ast.parse(source)
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    texts = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in docstrings]
    return sorted({text.lineno for text in texts if name.search(_text(text.value))})


def _text(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value if isinstance(value, str) else ""


@pytest.mark.parametrize("speller", SPELLED_BY)
@pytest.mark.parametrize("path", modules(*PACKAGES), ids=named)
def test_a_name_is_spelled_by_one_module(path: Path, speller: str) -> None:
    if named(path) != speller:
        assert spelled(path.read_text(), SPELLED_BY[speller]) == []


@pytest.mark.parametrize("speller", SPELLED_BY)
def test_who_spells_a_name_is_seen_to_do_so(speller: str) -> None:
    assert spelled((ROOT / speller).read_text(), SPELLED_BY[speller])


BUCKETS, API_GROUP, LINE_FIELDS = SPELLED_BY.values()


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ('f"KV_{bucket}"', BUCKETS),
        ('x = "STREAM.INFO.KV_sagamesh-rules"', BUCKETS),
        ('f"STREAM.INFO.KV_{name}"', BUCKETS),
        ('"KV_" + name', BUCKETS),
        ('f"$KV.x.{saga}.>"', BUCKETS),
        ('subject.startswith("$KV.")', BUCKETS),
        ('".".join(["$KV", bucket, key])', BUCKETS),
        ('subject.endswith(".active")', BUCKETS),
        ('f"{key}.retired"', BUCKETS),
        ('x = "shop.orders.checkout.active"', BUCKETS),
        ('x = {"a": [b"$KV.x"]}', BUCKETS),
        ('def f():\n    """Of `KV_`."""\n    return "KV_"', BUCKETS),
        ('PREFIX = "sagamesh.dev/"', API_GROUP),
        ('x = "kubectl get sagas.sagamesh.dev"', API_GROUP),
        ('f"/apis/sagamesh.dev/{version}"', API_GROUP),
        ('x = b"sagamesh.dev"', API_GROUP),
        ('call(name="injector.sagamesh.dev")', API_GROUP),
        ('logger.info("again", extra={"trace_id": trace})', LINE_FIELDS),
    ],
)
def test_a_name_that_is_spelled_elsewhere_is_seen(source: str, name: re.Pattern[str]) -> None:
    assert spelled(source, name)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ('"""A bucket is the stream `KV_<bucket>`, its keys are `$KV.<bucket>.>`."""', BUCKETS),
        ('x = 1\n"""The entry `.active`."""', BUCKETS),
        ('def f():\n    """Of `.retired`."""', BUCKETS),
        ("x = 1  # KV_", BUCKETS),
        ("rulebook.retired = standing.active", BUCKETS),
        ('x = ".status.activeRevision"', BUCKETS),
        ('x = "active"', BUCKETS),
        ('"""The resource `sagas.sagamesh.dev`."""', API_GROUP),
        ('x = "sagamesh.develop"', API_GROUP),
        ("sagamesh.dev", API_GROUP),
    ],
)
def test_what_only_looks_like_such_a_name_is_let_through(source: str, name: re.Pattern[str]) -> None:
    assert spelled(source, name) == []


# -- the sidecar stays light -----------------------------------------------------------------------------------------

HEAVY = ("kopf", "kubernetes", "kubernetes_asyncio", "aiohttp", "google.protobuf", "typer", "rich", "yaml", "pydantic")


def heavy(source: str) -> list[str]:
    """The heavy libraries that a module imports, at its top or anywhere else."""
    found = {f"{module}.{name}." for module, name in imports(ast.parse(source))}
    dynamic = {
        node.args[0].value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant)
        if ast.unparse(node.func) in ("__import__", "import_module", "importlib.import_module")
    }
    reached = {*found, *(f"{module}." for module in dynamic)}
    return sorted(lib for lib in HEAVY if any(module.startswith(f"{lib}.") for module in reached))


@pytest.mark.parametrize("path", modules("sidecar", "core", "jetstream"), ids=named)
def test_the_sidecar_and_core_import_nothing_heavy(path: Path) -> None:
    assert heavy(path.read_text()) == []


@pytest.mark.parametrize(
    "source",
    [
        "import kopf",
        "import kubernetes.client",
        "from kubernetes import client",
        "import aiohttp",
        "from google.protobuf import message",
        "from google import protobuf",
        "import google.protobuf",
        "import typer",
        "from rich.console import Console",
        "import yaml as y",
        "def f():\n    import yaml",
        "try:\n    import yaml\nexcept ImportError:\n    pass",
        "import_module('yaml')",
        "importlib.import_module('rich.table')",
    ],
)
def test_a_heavy_import_is_seen(source: str) -> None:
    assert heavy(source)


@pytest.mark.parametrize(
    "source",
    ["import nats", "from sagamesh import document", "import richer", "from x import yaml", "import google.api"],
)
def test_a_light_import_is_let_through(source: str) -> None:
    assert heavy(source) == []


def test_a_drain_begins_with_the_standard_library_alone() -> None:
    """It runs beside the sidecar, within the same limit of memory."""
    code = "import sys; before = set(sys.modules); import sagamesh_sidecar.__main__; print(*set(sys.modules) - before)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {module.partition(".")[0] for module in run.stdout.split()}
    assert "sagamesh_sidecar" in loaded
    assert loaded - sys.stdlib_module_names - {"sagamesh", "sagamesh_sidecar"} == set()


def test_a_sidecar_takes_nothing_along_that_happens_to_lie_there() -> None:
    """Where aiohttp is installed nats-py imports it. The sidecar ends as soon as it is there: its port is taken."""
    assert importlib.util.find_spec("aiohttp"), "it lies here"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        named = {"NAMESPACE": "shop", "PARTICIPANT": "orders", "API_PORT": str(taken.getsockname()[1])}
        run = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "sagamesh_sidecar"],
            env={**os.environ, **{f"SAGAMESH_{name}": value for name, value in named.items()}},
            capture_output=True,
            text=True,
            check=False,
        )
    assert run.returncode == 3, run.stderr[-500:]
    loaded = {line.rpartition("|")[2].strip() for line in run.stderr.splitlines() if "|" in line}
    assert "nats.aio.client" in loaded
    assert not [name for name in loaded if name.startswith(tuple(f"{library}." for library in HEAVY))]


# -- tests share by `support` ----------------------------------------------------------------------------------------


def of_other_tests(source: str) -> list[str]:
    """What a module imports out of modules of tests: whoever moves or renames a test would break another."""
    found = (f"{module}.{name}".strip(".") for module, name in imports(ast.parse(source)))
    return sorted(name for name in found if any(part.startswith("test_") for part in name.split(".")))


@pytest.mark.parametrize("path", modules("tests"), ids=named)
def test_no_module_imports_a_module_of_tests(path: Path) -> None:
    assert of_other_tests(path.read_text()) == []


@pytest.mark.parametrize(
    "source",
    [
        "from unit.sagamesh.language.test_spec import FULL",
        "from unit.sagamesh.language import test_spec",
        "import unit.sagamesh.language.test_spec",
        "from .test_spec import FULL",
        "from . import test_spec",
        "from test_spec import FULL as f",
        "from support.stage import test_that_everything_is_well",
        "def f():\n    from contract.test_log import x",
    ],
)
def test_an_import_of_tests_is_seen(source: str) -> None:
    assert of_other_tests(source)


@pytest.mark.parametrize(
    "source", ["from support.builders import spec_cases", "from simulation.mutants import MUTANTS", "import testing"]
)
def test_what_is_shared_is_let_through(source: str) -> None:
    assert of_other_tests(source) == []


def test_all_that_tests_share_is_on_the_map() -> None:
    """Each folder of `tests/support` has a row in its README, which names its modules."""
    support = ROOT / "tests" / "support"
    rows = re.findall(r"^\| `(\w+)` \|(.*)\|$", (support / "README.md").read_text(), re.MULTILINE)
    told = {folder: set(re.findall(r"`(\w+)`", row)) for folder, row in rows}
    there = {folder.name: {path.stem for path in folder.glob("[!_]*.py")} for folder in support.glob("[!_]*/")}
    assert told == there
