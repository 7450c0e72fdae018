"""YAML files as their authors wrote them: documents, and on which line everything stands.

Stricter than YAML: no aliases (a small file could become a huge one), no key twice (one of them would be lost without
a word), and words are words as in YAML 1.2, for in PyYAML's own reading `on` would be `True`. What the
documents mean is for others: `sagamesh.language.spec` reads sagas.
"""

from __future__ import annotations

import re
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from sagamesh.api_group import GROUP, KIND
from sagamesh.errors import SpecError
from sagamesh.language import spec
from sagamesh.language.model import Saga
from sagamesh_cli.ignores import Ignore, find
from sagamesh_cli.output import Complaint
from sagamesh_cli.yaml_slips import OddWord, hinted, meaning

MAX_BYTES = 256 << 10
"""Of a file: 500 steps, the most of a saga, of 500 bytes each. Whatever is larger was named by mistake."""
MAX_DEPTH = 50  # of nodes in nodes; a saga needs six, and Python's stack is finite
STDIN = "-"
NAMESPACE = "default"  # of a saga that names none
LISTS = ("List", f"{KIND}List")
ITEM = re.compile(r"items\[(\d+)\]\.?")
TEXT = "tag:yaml.org,2002:str"


class UnreadableFile(Complaint):
    """There is no such file, or nothing that could be read as one: usage."""


class BadFile(Complaint):
    """A file that can be read holds something wrong: a finding."""

    exit_code = 1

    def __init__(self, file: str, line: int | None, message: str) -> None:
        super().__init__(f"{file}:{line}: {message}" if line else f"{file}: {message}")
        self.file = file
        self.line = line
        self.message = message


@dataclass(frozen=True, kw_only=True)
class SourceDocument:
    """One YAML document. `lines`: path, as in `spec.steps[2].action`, to the line (from 1) where it stands.

    `odd`: words in it that kubectl reads otherwise. `ignores`: the comments of its whole file that ignore a warning.
    """

    file: str
    value: Any
    lines: dict[str, int]
    odd: tuple[OddWord, ...] = ()
    ignores: tuple[Ignore, ...] = ()

    @property
    def foreign(self) -> bool:
        """Whether it is another kind of resource on purpose, as a Deployment beside a Saga in one file."""
        if not isinstance(self.value, dict):
            return self.value is None
        group, kind = str(self.value.get("apiVersion", "")).partition("/")[0], self.value.get("kind")
        return bool(group) and isinstance(kind, str) and kind != KIND and group != GROUP

    @property
    def items(self) -> tuple[SourceDocument, ...]:
        """Those of a list, as `kubectl get -o yaml` writes it; of everything else, itself."""
        value = self.value
        if not isinstance(value, dict) or value.get("kind") not in LISTS or not isinstance(value.get("items"), list):
            return (self,)
        lines: list[dict[str, int]] = [{} for _ in value["items"]]
        for path, line in self.lines.items():
            if place := ITEM.match(path):
                lines[int(place[1])][path[place.end() :]] = line
        odd: list[list[OddWord]] = [[] for _ in value["items"]]
        for word in self.odd:
            if place := ITEM.match(word.path):
                odd[int(place[1])].append(word._replace(path=word.path[place.end() :]))
        return tuple(
            replace(self, value=item, lines=lines[i], odd=tuple(odd[i])) for i, item in enumerate(value["items"])
        )

    def line(self, path: str) -> int:
        """The line where a path stands; of what is missing, that of the nearest part of its path."""
        while path and path not in self.lines:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self.lines[path]


def shown(name: str) -> str:
    """A file's name in messages."""
    return "<stdin>" if name == STDIN else name


def read(name: str) -> tuple[SourceDocument, ...]:
    """The documents of a file (`-`: standard input). Raises UnreadableFile and BadFile."""
    file = shown(name)
    text = _text(file, _bytes(name))
    loader = _Loader(text)
    try:
        documents, texts = [], list[tuple[int, int]]()
        while loader.check_node():
            node: Any = loader.get_node()
            lines, odd = _lines(node), tuple(_odd(node))
            texts += _texts(node, text)
            value = loader.construct_document(node)
            documents.append(SourceDocument(file=file, value=value, lines=lines, odd=odd))
        ignores = find(text, texts)
        return tuple(replace(document, ignores=ignores) for document in documents) if ignores else tuple(documents)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise BadFile(file, mark.line + 1 if mark else None, _sentence(error)) from None
    except (yaml.YAMLError, ValueError) as error:
        why = "a number has thousands of digits" if "integer string conversion" in str(error) else error
        raise BadFile(file, None, f"this is not YAML: {why}") from None
    finally:
        loader.dispose()


def sagas(name: str) -> tuple[SourceDocument, ...]:
    """The documents of a file that are, or should be, sagas: at least one. Raises UnreadableFile and BadFile."""
    every = (item for document in read(name) for item in document.items)
    documents = tuple(document for document in every if not document.foreign)
    if not documents:
        raise BadFile(shown(name), None, "there is no Saga in this file")
    return documents


def load(name: str) -> tuple[Saga, ...]:
    """The sagas of a file, read but not checked. Raises UnreadableFile, and BadFile for the first problem."""
    loaded = []
    for document in sagas(name):
        try:
            loaded.append(spec.read(document.value, namespace=NAMESPACE))
        except SpecError as error:
            message = f"{error.path} {error.message}".strip()
            raise BadFile(document.file, document.line(error.path), message) from None
    return tuple(loaded)


def _bytes(name: str) -> bytes:
    try:
        if name == STDIN:
            content = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            path = Path(name)
            if stat.S_ISDIR(path.stat().st_mode):
                raise UnreadableFile(f"{name} is a directory; name the files in it")
            with path.open("rb") as file:
                content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise UnreadableFile(f"there is no file {name}") from None
    except (OSError, ValueError) as error:  # ValueError: a name with a null byte
        reason = error.strerror if isinstance(error, OSError) else error
        raise UnreadableFile(f"{name} cannot be read: {reason}") from None
    if len(content) > MAX_BYTES:
        raise BadFile(shown(name), None, f"this file is larger than {MAX_BYTES >> 10} KiB, too large for a saga")
    return content


def _text(file: str, content: bytes) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BadFile(file, line, "this is not text in UTF-8") from None
    if odd := yaml.reader.Reader.NON_PRINTABLE.search(text):
        line = text.count("\n", 0, odd.start()) + 1
        raise BadFile(file, line, f"the character {odd[0]!r} may not stand in YAML; is this a text file?")
    return text


def _sentence(error: yaml.MarkedYAMLError) -> str:
    parts = [part for part in (error.context, error.problem) if part]
    return hinted(" ".join(", ".join(parts).split()))


def _odd(node: Any, path: str = "") -> Iterator[OddWord]:
    """Words without quotes, keys and values, that YAML 1.1 reads otherwise."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = f"{path}.{key.value}".lstrip(".")
            yield from _odd(key, inner)
            yield from _odd(value, inner)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _odd(item, f"{path}[{index}]")
    elif node.style is None and node.tag == TEXT and (read := meaning(node.value)):
        yield OddWord(path, node.start_mark.line + 1, node.value, read)


def _texts(node: Any, text: str) -> Iterator[tuple[int, int]]:
    """From where to where keys and values go in the text of a file.

    That of a block begins below its `|` or `>`, which a comment may follow.
    """
    if isinstance(node, yaml.ScalarNode):
        start = node.start_mark.index
        yield text.find("\n", start) if node.style in ("|", ">") else start, node.end_mark.index
    for child in node.value if isinstance(node, yaml.CollectionNode) else ():
        for each in child if isinstance(child, tuple) else (child,):
            yield from _texts(each, text)


def _lines(node: Any, path: str = "") -> dict[str, int]:
    lines = {path: node.start_mark.line + 1}
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = f"{path}.{key.value}".lstrip(".")
            lines |= {**_lines(value, inner), inner: key.start_mark.line + 1}
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            lines |= _lines(item, f"{path}[{index}]")
    return lines


class _Loader(yaml.SafeLoader):
    """Plain data only, in the core schema of YAML 1.2."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or event.anchor:
            raise yaml.MarkedYAMLError(
                problem="anchors (&) and aliases (*) are refused: write it out", problem_mark=event.start_mark
            )
        if self._depth >= MAX_DEPTH:
            raise yaml.MarkedYAMLError(problem="this is nested too deep", problem_mark=event.start_mark)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        if isinstance(node, yaml.MappingNode):
            _check_keys(node)
        return node


def _check_keys(node: yaml.MappingNode) -> None:
    seen: dict[str, int] = {}
    for key, _ in node.value:
        problem = None
        if not isinstance(key, yaml.ScalarNode) or not isinstance(key.value, str):
            problem = "a key must be a word, not a list or a mapping"
        elif key.value in seen:
            problem = f"the key {key.value!r} is there twice: first on line {seen[key.value]}"
        if problem:
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
        key.tag = TEXT  # as in JSON, which is what the API server makes of it
        seen[key.value] = key.start_mark.line + 1


_Loader.yaml_implicit_resolvers = {}
for _kind, _pattern, _first in (
    ("null", r"(?:null|Null|NULL|~|)", ["n", "N", "~", ""]),
    ("bool", r"(?:true|True|TRUE|false|False|FALSE)", list("tTfF")),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", list("-+0123456789")),
    ("float", r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?", list("-+.0123456789")),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(f"{_pattern}\\Z"), _first)
