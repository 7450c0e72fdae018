"""What the checks find.

The two examples of each code in `docs/checks.md` are its cases: a saga that gets exactly this finding, and the same one
mended, which gets none. What is found in expressions: `test_expression_checks`.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
import yaml

from sagamesh.language import checks, spec, ways
from sagamesh.language.checks import CODES, check
from sagamesh.language.findings import IDLE_IGNORE, ODD_WORD, WARNINGS
from sagamesh.language.model import Saga
from sagamesh.language.ways import Ways
from support.builders.check_examples import EXAMPLES, SECTIONS
from support.builders.documents import CHECKOUT, in_language_page
from support.builders.sketches import codes, saga, steps

WITHOUT_EXAMPLE = {"SM016", "SM025", ODD_WORD, IDLE_IGNORE}  # which would be long, or are found in files alone

PLACES = {
    "SM001": "[1].name",
    "SM002": "[1].emits[0].event",
    "SM003": "[0].after[0]",
    "SM004": "[0].after",
    "SM005": "[0].after",
    "SM006": "[0].after",
    "SM007": "[0]",
    "SM008": "[0].readOnly",
    "SM009": "[0].compensation",
    "SM010": "[1].readOnly",
    "SM011": "[1].pivot",
    "SM012": "[0].when",
    "SM013": "[0]",
    "SM014": "[2].after",
    "SM015": "[1].after",
    "SM017": "[0].emits[1].when",
    "SM018": "[0].emits[1]",
    "SM019": "[0].when",
    "SM020": "[1].action.body",
    "SM021": "[3].action.body",
    "SM022": "[0].action.timeout",
    "SM023": "[0].action.retry.backoff",
    "SM024": "[0].emits[0].when",
    "SM028": "[0].emits[0].when",
}
"""Where, below `spec.steps`, each example has its finding."""


@pytest.mark.parametrize("code", sorted(CODES.keys() - WITHOUT_EXAMPLE))
def test_each_code_has_an_example_that_gets_it_and_one_that_is_mended(code: str) -> None:
    wrong, mended = EXAMPLES[code]
    found = check(saga(wrong))
    assert {finding.code for finding in found} == {code}
    assert {finding.path for finding in found} == {f"spec.steps{PLACES[code]}"}
    assert {finding.level for finding in found} == {"warning" if code in WARNINGS else "error"}
    assert all(finding.message and finding.fix for finding in found)
    assert check(saga(mended)) == ()


def test_the_documentation_explains_exactly_the_codes_that_there_are() -> None:
    assert list(SECTIONS) == sorted(CODES)
    for code, text in SECTIONS.items():
        assert text.strip().startswith("A warning.") == (code in WARNINGS)
        assert re.fullmatch(r"[A-Z`].+\.", CODES[code]), "a sentence, which `check --explain` says first"


@pytest.mark.parametrize("text", [CHECKOUT, in_language_page()], ids=["checkout", "docs/language.md"])
def test_whole_sagas_are_right(text: str) -> None:
    assert check(spec.read(yaml.safe_load(text))) == ()


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[4] / "examples").glob("*/*.yaml")), ids=str)
def test_the_examples_are_right(path: Path) -> None:
    for written in yaml.safe_load_all(path.read_text()):
        assert check(spec.read(written)) == ()


def test_findings_come_in_the_order_of_the_document() -> None:
    found = check(steps("a: order.placed; when: '('", "b: nowhere", "b: order.placed; action: {path: /b, within: 1s}"))
    assert [(finding.code, finding.path) for finding in found] == [
        ("SM007", "spec.steps[0]"),
        ("SM019", "spec.steps[0].when"),
        ("SM003", "spec.steps[1].after[0]"),
        ("SM007", "spec.steps[2]"),
        ("SM001", "spec.steps[2].name"),
        ("SM022", "spec.steps[2].action.timeout"),
        ("SM002", "spec.steps[2].emits[0].event"),
    ]


def test_findings_are_plain_data() -> None:
    (found,) = check(steps("a: nowhere"))
    assert msgspec.to_builtins(found) == {
        "code": "SM003",
        "level": "error",
        "path": "spec.steps[0].after[0]",
        "message": "nobody announces 'nowhere'",
        "fix": "add 'nowhere' to the `emits` of a step, or name another event",
    }


# -- wiring --------------------------------------------------------------------------------------------------------


def test_a_slip_in_an_event_is_pointed_at() -> None:
    (found,) = check(steps("a: order.placed -> credit.reserved", "b: credit.reservd"))
    assert found.fix == "did you mean 'credit.reserved'?"


def test_a_step_for_its_event_is_pointed_at() -> None:
    one, several = check(steps("copay: order.placed", "credit: copay -> good bad", "ship: credit"))
    assert (one.code, one.fix) == ("SM003", "'copay' is a step; what it announces is 'copay.done'")
    assert several.fix == "'credit' is a step; what it announces is 'good' or 'bad'"


WIRED_WRONGLY = {
    "a slip": (["copay: order.placed", "pay: copay.dnoe; pivot: true", "ship: pay.doen; {}", "tell: ship.done; {}"], 2),
    "nothing": (["copay: order.placed; pivot: true", "ship: ; {}", "tell: ship.done; {}"], 1),
    "a circle": (["pay: order.placed; pivot: true", "a: pay.done b.done; {}", "b: a.done; {}", "c: b.done; {}"], 1),
    "an event of two": (["p: order.placed; pivot: true", "a: order.placed -> x", "b: p.done -> x; {}", "c: x; {}"], 1),
    "a name of two": (["p: order.placed; pivot: true", "a: order.placed", "a: p.done -> x; {}", "c: x; {}"], 1),
}


@pytest.mark.parametrize("name", WIRED_WRONGLY)
def test_of_what_is_wired_wrongly_it_is_not_told_that_it_needs_a_compensation(name: str) -> None:
    """It may follow the pivot, once it is wired well."""
    text, wrong = WIRED_WRONGLY[name]
    found = check(steps(*(line.replace("{}", PLAIN) for line in text)))
    assert len(found) == wrong
    assert {f.code for f in found} <= {"SM001", "SM002", "SM003", "SM004", "SM005"}


def test_of_what_cannot_follow_the_pivot_it_is_told_all_the_same() -> None:
    found = check(steps(f"a: order.placed; {PLAIN}", f"p: a.done; {PIVOT}", f"b: p.dnoe; {PLAIN}"))
    assert [(f.code, f.path) for f in found] == [("SM007", "spec.steps[0]"), ("SM003", "spec.steps[2].after[0]")]
    before = check(steps(f"a: order.plcaed; {PLAIN}", f"p: a.done; {PIVOT}"))
    assert [(f.code, f.path) for f in before] == [("SM007", "spec.steps[0]"), ("SM003", "spec.steps[0].after[0]")]
    without = check(steps(f"a: order.placed; {PLAIN}", f"b: a.dnoe; {PLAIN}"))
    assert [(f.code, f.path) for f in without] == [
        ("SM007", "spec.steps[0]"),
        ("SM007", "spec.steps[1]"),
        ("SM003", "spec.steps[1].after[0]"),
    ]


def test_a_circle_is_named() -> None:
    (found,) = check(steps("a: order.placed", "b: a.done d.done", "c: b.done", "d: c.done", "e: d.done"))
    assert found.code == "SM004"
    assert re.search(r"b -> c -> d -> b|c -> d -> b -> c|d -> b -> c -> d", found.message)
    assert found.path == "spec.steps[1].after"


def test_a_step_that_listens_to_itself_is_a_circle() -> None:
    assert codes(check(steps("a: order.placed a.done"))) == ["SM004"]


def test_a_step_may_not_announce_the_starting_event() -> None:
    assert codes(check(steps("a: order.placed -> order.placed"))) == ["SM002"]
    assert codes(check(steps("a: order.placed -> x x"))) == ["SM002"]


# -- the pivot -----------------------------------------------------------------------------------------------------

PIVOT = "pivot: true"
PLAIN = "readOnly: false"

RIGHT = {
    "excluded": steps("a: order.placed -> yes no", f"p: yes; {PIVOT}", "n: no", "m: n.done"),
    "only after it": steps(f"p: order.placed; {PIVOT}", f"b: p.done; {PLAIN}", f"c: b.done; {PLAIN}"),
    "ended before it": steps("a: order.placed", "b: order.placed", "c: a.done", f"p: b.done c.done; {PIVOT}"),
    "ended or excluded, by the way in which it starts": steps(
        "a: order.placed -> yes no",
        "b: yes",
        "c: no",
        "d: b.done c.done; join: any, readOnly: true",
        f"p: d.done; {PIVOT}",
    ),
    "a branch that excludes it merges with nothing of it": steps(
        "a: order.placed -> yes no", f"p: yes; {PIVOT}", f"b: p.done; {PLAIN}", "n: no"
    ),
    "after it, and merged from the branches that it chooses": steps(
        f"p: order.placed -> big small; {PIVOT}",
        f"b: big; {PLAIN}",
        f"c: small; {PLAIN}",
        f"d: b.done c.done; join: any, {PLAIN}",
    ),
    "after it, together with what it waited for": steps(
        "a: order.placed", f"p: a.done; {PIVOT}", f"b: a.done p.done; {PLAIN}"
    ),
}
WRONG = {
    "beside it": (steps("a: order.placed", f"p: order.placed; {PIVOT}"), [0]),
    "after what it waits for": (steps("a: order.placed", f"p: a.done; {PIVOT}", "b: a.done"), [2]),
    "waited for in one way only": (
        steps(
            "x: order.placed",
            "a: order.placed -> yes no",
            "b: yes x.done",
            "c: no",
            "d: b.done c.done; join: any, readOnly: true",
            f"p: d.done; {PIVOT}",
        ),
        [0],
    ),
    "excluded in one way only": (
        steps(
            "a: order.placed -> yes no",
            "x: yes",
            "b: yes no; join: any, readOnly: true",
            f"p: b.done; {PIVOT}",
        ),
        [1],
    ),
    "merged with a branch that excludes it": (
        steps("a: order.placed -> yes no", f"p: yes; {PIVOT}", "n: no", f"m: p.done n.done; join: any, {PLAIN}"),
        [3],
    ),
}


@pytest.mark.parametrize("name", RIGHT)
def test_steps_that_are_settled_when_the_pivot_starts(name: str) -> None:
    assert check(RIGHT[name]) == ()


@pytest.mark.parametrize("name", WRONG)
def test_steps_that_may_be_open_when_the_pivot_starts(name: str) -> None:
    wrong, places = WRONG[name]
    assert [(f.code, f.path) for f in check(wrong)] == [("SM013", f"spec.steps[{i}]") for i in places]


def test_each_further_pivot_is_found() -> None:
    found = check(steps(f"a: order.placed; {PIVOT}", f"b: a.done; {PIVOT}", f"c: b.done; {PIVOT}"))
    assert [(f.code, f.path) for f in found] == [("SM011", "spec.steps[1].pivot"), ("SM011", "spec.steps[2].pivot")]


def test_of_the_pivot_itself_it_says_nothing_that_it_is_read_only() -> None:
    found = check(steps(f"p: order.placed; {PIVOT}, readOnly: true"))
    assert [(f.code, f.path) for f in found] == [("SM010", "spec.steps[0].readOnly")]
    assert found[0].message == "'p' is the pivot, so it is never undone anyway"


def test_a_step_of_a_branch_that_excludes_the_pivot_must_still_be_undone() -> None:
    found = check(steps("a: order.placed -> yes no", f"p: yes; {PIVOT}", f"n: no; {PLAIN}"))
    assert codes(found) == ["SM007"]


# -- branches ------------------------------------------------------------------------------------------------------


def test_only_the_first_step_that_can_never_run_is_found() -> None:
    found = check(steps("a: order.placed -> yes no", "b: yes", "c: b.done no", "d: c.done"))
    assert [(f.code, f.path) for f in found] == [("SM015", "spec.steps[2].after")]


def test_any_with_the_starting_event_is_a_race() -> None:
    assert codes(check(steps("a: order.placed", "b: a.done order.placed; join: any, readOnly: true"))) == ["SM014"]


def test_branches_of_different_length_may_be_merged() -> None:
    merged = steps("a: order.placed -> yes no", "b: yes", "c: b.done", "d: c.done no; join: any, readOnly: true")
    assert check(merged) == ()


def test_too_many_ways() -> None:
    def decisions(count: int) -> list[str]:
        return [
            line
            for n in range(count)
            for line in (
                f"a{n}: {f'd{n - 1}.done' if n else 'order.placed'} -> yes{n} no{n}",
                f"b{n}: yes{n}",
                f"c{n}: no{n}",
                f"d{n}: b{n}.done c{n}.done; join: any, readOnly: true",
            )
        ]

    assert check(steps(*decisions(13), f"p: d12.done; {PIVOT}")) == ()
    (found,) = check(steps(*decisions(14), f"p: d13.done; {PIVOT}"))
    assert (found.code, found.path) == ("SM016", "spec.steps[55].after")
    assert found.message == (
        "too many ways lead to 'd13' (over 10000 to this step), so the branches of this saga are not checked"
    )


def test_whichever_question_takes_too_long_half_an_answer_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Ways] = []

    class Noted(Ways):
        def __init__(self, saga: Saga) -> None:
            super().__init__(saga)
            asked.append(self)

    monkeypatch.setattr(checks, "Ways", Noted)
    named = "action: {path: /a, body: '{\"x\": events[\"order.placed\"].data}'}, when: '(', readOnly: true"
    asks = steps("a: order.placed -> yes no or", "n: no", f"p: yes; {PIVOT}", f"j: n.done or; join: any, {named}")
    right = [("SM019", "spec.steps[3].when")]
    assert [(f.code, f.path) for f in check(asks)] == right
    (all_of_it,) = {each.work for each in asked}
    monkeypatch.setattr(ways, "MOST_WORK", all_of_it)
    assert [(f.code, f.path) for f in check(asks)] == right
    for less in range(0, all_of_it, 10):
        monkeypatch.setattr(ways, "MOST_WORK", less)
        refused, *others = check(asks)
        assert refused.code == "SM016"
        assert refused.path in {f"spec.steps[{n}].after" for n in range(4)}
        assert [(f.code, f.path) for f in others] == right


def test_large_sagas_are_checked_at_once() -> None:
    chain = [f"s{n}: {f's{n - 1}.done' if n else 'order.placed'}" for n in range(500)]
    fan = [f"s{n}: order.placed" for n in range(50)]
    assert check(steps(*chain)) == ()
    assert check(steps(*fan, f"p: {' '.join(f's{n}.done' for n in range(50))}; {PIVOT}")) == ()
