"""Files are read strictly, with lines, and whatever is wrong with one is a sentence."""

import io
import os
import sys
from pathlib import Path
from textwrap import indent

import pytest

from sagamesh_cli import saga_files
from sagamesh_cli.saga_files import BadFile, UnreadableFile

SAGA = """\
apiVersion: sagamesh.dev/v1alpha1
kind: Saga
metadata: {name: checkout}
spec:
  start: {participant: orders, event: order.placed}
  steps:
    - name: reserve
      after: [order.placed]
      action:
        path: /reserve
    - name: charge
"""


def read(tmp_path: Path, text: str | bytes) -> tuple[saga_files.SourceDocument, ...]:
    path = tmp_path / "saga.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return saga_files.read(str(path))


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("spec.steps[0].action.path", 10),
        ("spec.steps[0].action", 9),
        ("spec.steps[0].after[0]", 8),
        ("spec.steps[1]", 11),
        ("spec.steps[1].action.path", 11),  # missing: where it should be
        ("spec.steps[7]", 6),
        ("spec.deadline", 4),
        ("metadata.name", 3),
        ("nothing.like.it", 1),
        ("", 1),
    ],
)
def test_a_path_has_a_line(tmp_path: Path, path: str, line: int) -> None:
    [document] = read(tmp_path, SAGA)
    assert document.line(path) == line


def test_lines_count_through_all_documents_of_a_file(tmp_path: Path) -> None:
    first, second = read(tmp_path, f"{SAGA}---\nkind: Saga\nspec: {{}}\n")
    assert (first.line("kind"), second.line("kind"), second.line("spec.start")) == (2, 13, 14)


def test_words_are_words(tmp_path: Path) -> None:
    [document] = read(tmp_path, "on: yes\noff: 010\ny: 1:30\nday: 2020-01-01\nbig: .inf")
    assert document.value == {"on": "yes", "off": "010", "y": "1:30", "day": "2020-01-01", "big": ".inf"}


def test_values_are_those_of_json(tmp_path: Path) -> None:
    [document] = read(tmp_path, "a: true\nb: False\nc: -12\nd: 1.5\ne: 1e3\nf: null\ng: ~\nh:\ni: '1'\n1: j")
    values = {"a": True, "b": False, "c": -12, "d": 1.5, "e": 1000.0, "f": None, "g": None, "h": None, "i": "1"}
    assert document.value == {**values, "1": "j"}


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        ("a: &x 1\nb: 2", 1, "anchors (&) and aliases (*) are refused: write it out"),
        ("a: 1\nb: *x", 2, "anchors (&) and aliases (*) are refused: write it out"),
        ("a:\n  b: 1\n  c: 2\n  b: 3", 4, "the key 'b' is there twice: first on line 2"),
        ("a: 1\n1: 2\n'1': 3", 3, "the key '1' is there twice: first on line 2"),
        ("? [a]\n: b", 1, "a key must be a word, not a list or a mapping"),
        ("a: 1\n\tb: 2", 2, "while scanning for the next token, found character '\\t' that cannot start any token"),
        ("a: b: c", 1, "put the text in quotes, as in 'a ? b : c' (mapping values are not allowed here)"),
        ("a: [1,\nb: 2", 2, "while parsing a flow sequence, expected ',' or ']', but got '<stream end>'"),
        ("a: 'x", 1, "while scanning a quoted scalar, found unexpected end of stream"),
        ("a: 1\nb: !!python/object:os.system x", 2, "could not determine a constructor for the tag"),
        ("a: !!int x", None, "this is not YAML: invalid literal for int()"),
        ("a: " + "9" * 5000, None, "this is not YAML: a number has thousands of digits"),
        ("[" * 100_000, 1, "this is nested too deep"),
        ("%YAML 9.9\n---\na", 1, "found incompatible YAML document (version 1.* is required)"),
        (b"a: 1\nb: \xff", 2, "this is not text in UTF-8"),
        (b"\x7fELF\x02\x01", 1, "the character '\\x7f' may not stand in YAML; is this a text file?"),
        ("a: 1\nb: \x07", 2, "the character '\\x07' may not stand in YAML; is this a text file?"),
        ("a: " + "x" * 300_000, None, "this file is larger than 256 KiB, too large for a saga"),
    ],
    ids=range(18),
)
def test_a_bad_file_is_a_sentence_with_a_line(
    tmp_path: Path, text: str | bytes, line: int | None, sentence: str
) -> None:
    with pytest.raises(BadFile) as caught:
        read(tmp_path, text)
    assert caught.value.line == line
    assert caught.value.message.startswith(sentence)
    assert str(caught.value).startswith(f"{tmp_path}/saga.yaml:")
    assert caught.value.exit_code == 1


def test_what_is_no_file_is_usage(tmp_path: Path) -> None:
    for name, sentence in {
        f"{tmp_path}/none.yaml": f"there is no file {tmp_path}/none.yaml",
        f"{tmp_path}": f"{tmp_path} is a directory; name the files in it",
        f"{tmp_path}/\0": f"{tmp_path}/\0 cannot be read: embedded null byte",
        f"{tmp_path}/{'x' * 300}": f"{tmp_path}/{'x' * 300} cannot be read: File name too long",
    }.items():
        with pytest.raises(UnreadableFile) as caught:
            saga_files.read(name)
        assert str(caught.value) == sentence
        assert caught.value.exit_code == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "saga.yaml"
    path.touch(0)
    with pytest.raises(UnreadableFile, match="Permission denied"):
        saga_files.read(str(path))


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a: 1\na: 2")))
    with pytest.raises(BadFile, match=r"^<stdin>:2: the key 'a' is there twice"):
        saga_files.read("-")


def test_other_resources_may_stand_beside_a_saga(tmp_path: Path) -> None:
    path = tmp_path / "all.yaml"
    path.write_text(f"apiVersion: apps/v1\nkind: Deployment\n---\n{SAGA}---\n")
    [document] = saga_files.sagas(str(path))
    assert document.value["metadata"] == {"name": "checkout"}


@pytest.mark.parametrize(
    "text", ["apiVersion: sagamesh.io/v1\nkind: Saga", "apiVersion: sagamesh.dev/v1alpha1\nkind: Sage", "[]", "a: 1"]
)
def test_what_may_be_meant_as_a_saga_is_not_passed_over(tmp_path: Path, text: str) -> None:
    path = tmp_path / "saga.yaml"
    path.write_text(text)
    assert len(saga_files.sagas(str(path))) == 1


@pytest.mark.parametrize("text", ["", "---\n---\n", "# only words\n", "apiVersion: v1\nkind: Pod"])
def test_a_file_without_a_saga(tmp_path: Path, text: str) -> None:
    path = tmp_path / "saga.yaml"
    path.write_text(text)
    with pytest.raises(BadFile, match="there is no Saga in this file"):
        saga_files.sagas(str(path))


def of_list(tmp_path: Path, text: str) -> list[saga_files.SourceDocument]:
    path = tmp_path / "list.yaml"
    path.write_text(text)
    return list(saga_files.sagas(str(path)))


@pytest.mark.parametrize(
    "head", ["apiVersion: v1\nkind: List", "apiVersion: sagamesh.dev/v1alpha1\nkind: SagaList", "kind: List"]
)
def test_a_list_is_what_stands_in_it(tmp_path: Path, head: str) -> None:
    """As kubectl writes several Sagas."""
    item = indent(SAGA, "  ").replace("  ", "- ", 1)
    pod = "- apiVersion: v1\n  kind: Pod\n"
    first, second = of_list(tmp_path, f"{head}\nitems:\n{item}{pod}{item}---\napiVersion: v1\nkind: Pod")
    assert first.value == second.value == saga_files.read(str(saga(tmp_path)))[0].value
    before = head.count("\n") + 2
    assert [first.line(path) - before for path in ("", "spec.steps[0].action.path", "nothing")] == [1, 10, 1]
    assert second.line("spec.steps[1].name") - before == 11 + 2 + 11


def saga(tmp_path: Path) -> Path:
    path = tmp_path / "saga.yaml"
    path.write_text(SAGA)
    return path


@pytest.mark.parametrize("text", ["kind: List\napiVersion: v1\nitems: []", "kind: List\napiVersion: v1"])
def test_an_empty_list_holds_no_saga(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadFile, match="there is no Saga in this file"):
        of_list(tmp_path, text)


def test_items_after_the_ninth_have_lines_of_their_own(tmp_path: Path) -> None:
    documents = of_list(tmp_path, "kind: List\nitems:\n" + "".join(f"- kind: Saga\n  x: {n}\n" for n in range(12)))
    assert [document.line("x") for document in documents] == list(range(4, 28, 2))


def test_words_that_kubectl_reads_otherwise_are_known(tmp_path: Path) -> None:
    text = "a: yes\nb: 'yes'\nc: [n, no-thing, \"n\", 010]\non: {off: |\n  on\n}\n"
    [document] = read(tmp_path, text.replace("{off: |\n  on\n}", "\n  off: |\n    on"))
    assert [tuple(odd) for odd in document.odd] == [
        ("a", 1, "yes", "the boolean true"),
        ("c[0]", 3, "n", "the boolean false"),
        ("c[3]", 3, "010", "a number"),
        ("on", 4, "on", "the boolean true"),
        ("on.off", 5, "off", "the boolean false"),
    ]
    first, second = of_list(tmp_path, "kind: List\nitems:\n- a: 1\n- b: yes\n  y: 1")
    assert first.odd == ()
    assert [(odd.path, odd.line) for odd in second.odd] == [("b", 4), ("y", 5)]
