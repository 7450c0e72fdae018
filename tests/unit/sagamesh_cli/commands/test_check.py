"""Findings as people and programs see them, and what they do to the exit code."""

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from sagamesh.language.findings import CODES, IDLE_IGNORE, ODD_WORD, WARNINGS
from sagamesh_cli import saga_checks
from sagamesh_cli.main import app
from sagamesh_cli.output import Complaint
from support.builders.check_examples import EXAMPLES, SECTIONS

DATA = Path(__file__).parent / "data"


def sagamesh(*args: str, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(app, args, input=stdin, catch_exceptions=False)


def edited(tmp_path: Path, old: str, new: str) -> str:
    path = tmp_path / "saga.yaml"
    text = (DATA / "checkout.yaml").read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return str(path)


def test_findings_have_lines_codes_and_fixes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(DATA.parent)
    result = sagamesh("check", "data/wrong.yaml")
    assert result.exit_code == 1
    assert result.stdout == (DATA / "wrong.text").read_text()
    assert result.stderr == ""


def test_findings_as_json_and_yaml_are_the_same() -> None:
    file = str(DATA / "wrong.yaml")
    result = sagamesh("check", file, "-o", "json")
    found = json.loads(result.stdout)
    assert result.exit_code == 1
    assert found["success"] is False
    assert found["findings"][0] == {
        "file": file,
        "line": 7,
        "code": "SM007",
        "level": "error",
        "path": "spec.steps[0]",
        "message": "nobody knows how 'reserve' is undone when the saga is aborted",
        "fix": "give it a `compensation`; or `readOnly: true` if it changes nothing",
    }
    assert found["findings"][-1]["code"] is None
    assert found["findings"][-1]["path"] == "spec.steps[0].actions"
    assert yaml.safe_load(sagamesh("check", file, "-o", "yaml").stdout) == found


def test_nothing_found_is_0() -> None:
    result = sagamesh("check", str(DATA / "checkout.yaml"), str(DATA / "trip.yaml"))
    assert (result.exit_code, result.stdout) == (0, "2 sagas: no findings\n")


def test_a_warning_alone_is_0(tmp_path: Path) -> None:
    file = edited(tmp_path, "pivot: true", "pivot: true\n      readOnly: true")
    result = sagamesh("check", file)
    assert result.exit_code == 0
    assert result.stdout == (
        f"{file}:34: SM010 warning 'charge-card' is the pivot, so it is never undone anyway\n"
        "    remove `readOnly`\n"
        "1 saga: 1 warning\n"
    )
    assert json.loads(sagamesh("check", file, "-o", "json").stdout)["success"] is True


def test_the_same_saga_twice_in_one_file() -> None:
    text = (DATA / "checkout.yaml").read_text()
    result = sagamesh("check", "-", stdin=f"{text}---\n{text}".encode())
    line = text.count("\n") + 4
    assert result.exit_code == 1
    assert f"<stdin>:{line}: error the saga shop/checkout is there twice: first on line 3\n" in result.stdout


def test_a_condition_without_quotes_is_pointed_at(tmp_path: Path) -> None:
    file = edited(
        tmp_path, "pivot: true", "pivot: true\n      emits: [{event: charged, when: a ? b : c}, {event: no-charge}]"
    )
    result = sagamesh("check", file)
    line, message = result.stdout.splitlines()[0].removeprefix(f"{file}:").split(": error ")
    assert message.startswith("put the text in quotes, as in 'a ? b : c' (")
    assert "when: a ? b : c" in Path(file).read_text().splitlines()[int(line) - 1]


def test_a_word_that_kubectl_reads_otherwise_is_a_warning(tmp_path: Path) -> None:
    wrong, mended = EXAMPLES[ODD_WORD]
    start = "start: {participant: orders, event: order.placed}\n"
    head = "apiVersion: sagamesh.dev/v1alpha1\nkind: Saga\nmetadata: {name: ask, labels: {on: Yes}}\nspec:\n"
    file = tmp_path / "saga.yaml"
    for text, places in ((wrong, [(3, "on"), (3, "Yes"), (7, "no")]), (mended, [(3, "on"), (3, "Yes")])):
        file.write_text(head + "".join(f"  {line}\n" for line in (start + text).splitlines()))
        found = json.loads(sagamesh("check", str(file), "-o", "json").stdout)
        assert found["success"] is True
        assert [(each["line"], each["message"].split()[0]) for each in found["findings"]] == places
        assert {(each["code"], each["level"]) for each in found["findings"]} == {(ODD_WORD, "warning")}
    assert found["findings"][0] | {"file": ""} == {
        "file": "",
        "line": 3,
        "code": "SM026",
        "level": "warning",
        "path": "metadata.labels.on",
        "message": "on without quotes is text here, and the boolean true to kubectl, which reads YAML 1.1",
        "fix": "write 'on', in quotes, or what you mean",
    }


PIVOT, WARNED = "pivot: true", "pivot: true\n      readOnly: true"
BECAUSE = "# sagamesh: ignore SM010 because readers expect it"
NO_REASON = "this comment ignores nothing: it names no warning, or no reason"


@pytest.mark.parametrize(
    "text",
    [
        f"{WARNED}  {BECAUSE}",
        f"{PIVOT}\n      {BECAUSE}\n      readOnly: true",
        f"{PIVOT}\n      {BECAUSE}\n\n  # and more\n      readOnly: true",
        f"{WARNED}  # sagamesh:ignore sm010 BECAUSE readers expect it ",
    ],
)
def test_a_comment_ignores_a_warning_and_says_why(tmp_path: Path, text: str) -> None:
    file = edited(tmp_path, PIVOT, text)
    result = sagamesh("check", file)
    assert (result.exit_code, result.stdout) == (0, "1 saga: no findings, 1 ignored\n")
    found = json.loads(sagamesh("check", file, "-o", "json").stdout)
    assert (found["success"], found["findings"]) == (True, [])
    assert [(each["code"], each["reason"].lower()) for each in found["ignored"]] == [("SM010", "readers expect it")]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"{WARNED}  # sagamesh: ignore SM010", NO_REASON),
        (f"{WARNED}  # sagamesh: ignore SM010 because ", NO_REASON),
        (f"{WARNED}  # sagamesh ignore because I say so", NO_REASON),
        (f"{WARNED}\n      {BECAUSE}", "there is no SM010 on line 36 to be ignored"),
        (f"{WARNED}  {BECAUSE.replace('SM010', 'SM018')}", "there is no SM018 on line 34 to be ignored"),
        (f"{WARNED}  {BECAUSE.replace('SM010', 'SM910')}", "there is no finding SM910"),
        (
            f"{WARNED}  {BECAUSE.replace('SM010', 'SM027')}",
            "SM027 is about comments like this one, and cannot be ignored itself",
        ),
        (
            f"{WARNED}  {BECAUSE.replace('SM010', 'SM007')}",
            "SM007 is an error, which no comment can ignore: the operator refuses the saga, and sees no comments",
        ),
    ],
)
def test_a_comment_that_ignores_nothing_is_told(tmp_path: Path, text: str, told: str) -> None:
    found = json.loads(sagamesh("check", edited(tmp_path, PIVOT, text), "-o", "json").stdout)
    assert found["success"] is True, "it is a warning"
    [idle] = [each for each in found["findings"] if each["code"] == "SM027"]
    assert idle["message"] == told
    assert "# sagamesh" in Path(idle["file"]).read_text().splitlines()[idle["line"] - 1]
    assert idle["fix"].startswith(("take the comment away", "mend it", "write it as in", "there are SM001 to "))
    assert [each["code"] for each in found["findings"] if each["code"] != "SM027"] == ["SM010"]
    assert found["ignored"] == []


def test_a_comment_may_ignore_several(tmp_path: Path) -> None:
    text = f"{WARNED}  # sagamesh: ignore SM018, SM010 because we know"
    found = json.loads(sagamesh("check", edited(tmp_path, PIVOT, text), "-o", "json").stdout)
    assert [each["message"] for each in found["findings"]] == ["there is no SM018 on line 34 to be ignored"]
    assert [each["code"] for each in found["ignored"]] == ["SM010"]


def test_an_error_stays_whatever_a_comment_says(tmp_path: Path) -> None:
    """And of the rest that meets nothing it is not told: what an error hides nobody has looked for."""
    comment = "# sagamesh: ignore SM003, SM018 because I say so"
    result = sagamesh("check", edited(tmp_path, "after: [order.placed]", f"after: [order.place]  {comment}"))
    assert result.exit_code == 1
    assert "SM003 error" in result.stdout
    assert "SM027 warning SM003 is an error" in result.stdout
    assert "SM018" not in result.stdout


def test_in_a_list_a_comment_counts_where_it_stands(tmp_path: Path) -> None:
    file = tmp_path / "list.yaml"
    text = (DATA / "checkout.yaml").read_text().replace(PIVOT, f"{WARNED}  {BECAUSE}")
    head, *rest = text.splitlines()
    file.write_text(
        "\n".join(["kind: List", "items:", f"- {head}", *(f"  {line}" for line in rest)]) + f"\n{BECAUSE}\n"
    )
    result = sagamesh("check", str(file))
    assert result.exit_code == 0
    assert result.stdout.count("SM027") == 1, "the last one is about nothing"
    assert "1 warning, 1 ignored" in result.stdout


def test_the_example_of_the_page_gets_it_and_the_mended_one_does_not(tmp_path: Path) -> None:
    start = "start: {participant: orders, event: order.placed}\n"
    head = "apiVersion: sagamesh.dev/v1alpha1\nkind: Saga\nmetadata: {name: ask}\nspec:\n"
    file = tmp_path / "saga.yaml"
    for text, codes in zip(EXAMPLES[IDLE_IGNORE], ([IDLE_IGNORE], []), strict=True):
        file.write_text(head + "".join(f"  {line}\n" for line in (start + text).splitlines()))
        found = json.loads(sagamesh("check", str(file), "-o", "json").stdout)
        assert [each["code"] for each in found["findings"]] == codes


def test_of_a_word_that_is_wrong_here_too_there_is_one_finding(tmp_path: Path) -> None:
    file = edited(tmp_path, "pivot: true", "pivot: yes\n      on: [order.placed]")
    found = json.loads(sagamesh("check", file, "-o", "json").stdout)["findings"]
    assert [(each["code"], each["path"].rpartition(".")[2]) for each in found] == [(None, "pivot"), (None, "on")]


@pytest.mark.parametrize("command", ["check", "graph"])
def test_a_list_of_sagas_is_read(tmp_path: Path, command: str) -> None:
    sagas = [yaml.safe_load((DATA / name).read_text()) for name in ("checkout.yaml", "trip.yaml")]
    file = tmp_path / "list.yaml"
    file.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": sagas, "metadata": {}}))
    result = sagamesh(command, str(file))
    assert result.exit_code == 0
    assert ("2 sagas: no findings" if command == "check" else "checkout") in result.stdout
    assert [saga.name for saga in saga_checks.accepted(str(file))] == ["checkout", "trip"], "as `dev` reads it"


def test_a_text_cut_off_by_its_comma_is_pointed_at(tmp_path: Path) -> None:
    said = sagamesh("check", edited(tmp_path, "action: {", "action: {body: f(a, b), ")).stdout
    assert ".action.b) is not a field of the language; if it is the rest of a text, put the text in quotes" in said


def test_standard_input() -> None:
    result = sagamesh("check", "-", stdin=b"a: 1\na: 2\n")
    assert (result.exit_code, result.stdout.splitlines()[0]) == (
        1,
        "<stdin>:2: error the key 'a' is there twice: first on line 1",
    )


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"\x00\xff", b"a: &x [*x]", b"a: b: c", b"---\n" * 3, b"kind: Saga", b"- " * 5000, b"x" * 300_000],
)
def test_junk_is_a_finding(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "junk.yaml"
    path.write_bytes(content)
    result = sagamesh("check", str(path))
    assert result.exit_code == 1
    assert result.stdout.startswith(f"{path}:")
    assert " error " in result.stdout


def test_a_missing_file_is_usage(tmp_path: Path) -> None:
    result = sagamesh("check", f"{tmp_path}/none.yaml")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"sagamesh: there is no file {tmp_path}/none.yaml\n"


def test_no_file_is_usage() -> None:
    result = sagamesh("check")
    assert (result.exit_code, result.stderr) == (2, "sagamesh: which files? As in `sagamesh check saga.yaml`\n")


@pytest.mark.parametrize("code", CODES)
def test_a_code_is_explained_by_its_whole_section(code: str) -> None:
    result = sagamesh("check", "--explain", code.lower())
    head, _, text = result.stdout.partition("\n\n")
    level = "warning" if code in WARNINGS else "error"
    assert (result.exit_code, head) == (0, f"{code} {level}: {CODES[code]}")
    assert text.split() == SECTIONS[code].replace("[what it is](protocol.md#the-app)", LED).split()
    assert "\n#" not in text


LED = "what it is (docs/protocol.md#the-app)"
"""A link, where nobody can click."""


def test_a_code_that_there_is_not_is_usage() -> None:
    unknown = sagamesh("check", "--explain", "XY1")
    assert unknown.exit_code == 2
    assert unknown.stderr.startswith("sagamesh: there is no finding 'XY1'; there are SM001 to SM0")


def test_what_a_file_says_does_not_reach_the_terminal_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "saga.yaml"
    path.write_text('kind: "Saga\\e[2J\\u202e"\n')
    result = sagamesh("check", str(path))
    assert "\x1b" not in result.stdout
    assert "\u202e" not in result.stdout


def test_accepted_gives_the_sagas_or_all_the_errors() -> None:
    assert [saga.name for saga in saga_checks.accepted(str(DATA / "trip.yaml"))] == ["trip"]
    with pytest.raises(Complaint) as caught:
        saga_checks.accepted(str(DATA / "wrong.yaml"))
    assert caught.value.exit_code == 1
    assert "SM003" in str(caught.value)
    assert "spec.deadline is not built yet" in str(caught.value)
    assert "SM018" not in str(caught.value), "a warning refuses nothing"
