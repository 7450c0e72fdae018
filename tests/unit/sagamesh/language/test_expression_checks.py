"""What the checks find in expressions."""

from __future__ import annotations

import pytest

from sagamesh.language import expression_checks
from sagamesh.language.checks import check
from support.builders.sketches import codes, saga, steps

BODY = "action: {path: /a, body: '{\"x\": %s}'}, readOnly: true"


def naming(event: str) -> str:
    return BODY % f'events["{event}"].data'


def test_every_expression_is_compiled() -> None:
    text = """
    start: {participant: orders, event: order.placed, key: "("}
    steps:
      - name: a
        participant: app
        after: [order.placed]
        when: "("
        action: {path: /a, body: "("}
        emits: [{event: yes, when: "("}, {event: no}]
        compensation: {path: /b, body: "("}
    """
    found = check(saga(text.replace("yes", "'yes'").replace("no}", "'no'}")))
    assert [(f.code, f.path) for f in found] == [
        ("SM019", "spec.start.key"),
        ("SM019", "spec.steps[0].when"),
        ("SM019", "spec.steps[0].action.body"),
        ("SM019", "spec.steps[0].emits[0].when"),
        ("SM019", "spec.steps[0].compensation.body"),
    ]


def test_of_expressions_there_may_be_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expression_checks, "MOST_EXPRESSED", 40)
    ten = "when: 'true || 1.0', readOnly: true"
    four = [f"s{n}: order.placed; {ten.replace('1.0', '1.0==1.0')}" for n in range(4)]
    assert len("true || 1.0==1.0") == 16
    found = check(steps(*four))
    assert [(f.code, f.path) for f in found] == [("SM025", "spec.steps[3].when")]
    assert check(steps(*four[:3])) == ()


def test_what_is_costly_to_compile_counts_for_more() -> None:
    """Any of these takes less than a tenth of a second, and all of them would take minutes."""
    costly = """when: "'a'.matches('(?:\\\\\\\\pL){120}')", readOnly: true"""
    found = check(steps(*(f"s{n}: order.placed; {costly}" for n in range(9))))
    assert [(f.code, f.path) for f in found] == [("SM025", "spec.steps[3].when")]
    mistakes = check(steps(*(f"s{n}: order.placed; when: '(', readOnly: true" for n in range(50))))
    assert codes(mistakes) == ["SM019"] * 33 + ["SM025"]


@pytest.mark.parametrize(("most", "refused"), [(126, 2), (125, 1)])
def test_a_pattern_counts_a_quarter_of_its_weight(most: int, refused: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here 406 instructions, beside 25 characters of the expression."""
    monkeypatch.setattr(expression_checks, "MOST_EXPRESSED", most)
    found = check(
        steps(*(f"s{n}: order.placed; when: \"'a'.matches('[a-z]{{100}}')\", readOnly: true" for n in range(3)))
    )
    assert [(f.code, f.path) for f in found] == [("SM025", f"spec.steps[{refused}].when")]


@pytest.mark.parametrize(
    ("field", "message", "fix"),
    [
        (
            "compensation: {path: /undo, body: '{\"id\": result.id}'}",
            "1:14: result.id fails, for result is null after a refusal, an answer without a body, or none",
            'ask before, as in `result != null ? result.id : ""`',
        ),
        (
            "compensation: {path: /undo, body: '{\"n\": size(request)}'}",
            "1:12: request is null where the action had no data to send, or was not called",
            'ask before, as in `request != null ? request : ""`',
        ),
        (
            "compensation: {path: /undo, body: '{\"id\": (result != null ? result : {}).id}'}",
            "1:38: .id fails, for what stands before it may be a value that is written here, and has none",
            "ask first, and look into it only where it is what you mean",
        ),
        (
            "readOnly: true, emits: [{event: a.b, when: response.body.ok}, {event: a.c}]",
            "1:14: response.body.ok fails, for response.body may be null, a text, a number, a list, or a map without "
            "that field",
            "ask before, as in `type(response.body) == map && has(response.body.ok) && ...`",
        ),
        (
            "readOnly: true, emits: [{event: a.b, when: 'response.headers[event.type] == \"\"'}, {event: a.c}]",
            "1:17: response.headers[event.type] fails, for response.headers may lack it",
            "ask before, as in `event.type in response.headers && ...`",
        ),
        (
            'readOnly: true, emits: [{event: a.b, when: \'response.headers[saga.id + ""] == ""\'}, {event: a.c}]',
            "1:17: response.headers may lack it",
            "name what you mean by a literal, and ask before whether it is there",
        ),
        (
            "readOnly: true, emits: [{event: a.b, when: 'type(response.body) == list && "
            "response.body.all(x, x.ok)'}, {event: a.c}]",
            "1:54: x.ok fails, for x may be of any type",
            "ask before, as in `type(x) == map && has(x.ok) && ...`",
        ),
    ],
)
def test_who_looks_without_asking_hears_what_to_ask(field: str, message: str, fix: str) -> None:
    [found] = check(steps(f"a: order.placed; {field}"))
    assert (found.code, found.level) == ("SM024", "error")
    assert (found.message, found.fix) == (message, fix)


def test_what_is_said_of_events_that_are_not_sure() -> None:
    x = "x: order.placed -> yes no"
    [never] = check(steps(x, "b: yes", f"c: b.done; {naming('no')}"))
    assert (never.message, never.fix) == (
        "'no' never comes before 'c'",
        "name the starting event or an event that 'c' waits for, directly or through other steps",
    )
    [either] = check(
        steps(
            "x: order.placed",
            "a: order.placed -> yes no",
            "b: yes x.done",
            f"m: b.done no; join: any, {naming('x.done')}",
        )
    )
    assert (either.message, either.fix) == (
        "'x.done' may or may not have happened when 'm' runs, so its retries could differ",
        "let 'm' wait for it, or name an event that comes before it in every branch",
    )
    [wrong] = check(steps("a: order.placed; when: '(', readOnly: true"))
    assert wrong.fix == "correct the expression; the numbers are its line and column"


OPT = "opt: order.placed -> no opt.done; when: event.data.n > 5.0, readOnly: true"
SKIPPED = "is null where 'opt' is skipped"


def test_what_a_skipped_step_left_out_is_found_in_every_place() -> None:
    """A skipped step counts as its last event, with null data, which no retry changes."""
    text = 'events["opt.done"].data'
    body = f"action: {{path: /a, body: '{{\"r\": {text}.id}}'}}"
    emits = f"emits: [{{event: a.b, when: '{text}.id == 1'}}, {{event: a.c}}]"
    undo = f"compensation: {{path: /undo, body: '{{\"r\": {text}.id}}'}}"
    places = {f"when: '{text}.id == 1'": "when", body: "action.body", emits: "emits[0].when", undo: "compensation.body"}
    for field, place in places.items():
        rest = "" if field is undo else ", readOnly: true"
        [found] = [each for each in check(steps(OPT, f"a: opt.done; {field}{rest}")) if each.code != "SM018"]
        assert (found.code, found.level, found.path) == ("SM024", "error", f"spec.steps[1].{place}")
        assert found.message.endswith(f"event.data.id fails, for event.data {SKIPPED}")
        assert found.fix.startswith("ask before, as in `event.data != null ")
        assert found.fix.endswith("&& ...`") == (place in ("when", "emits[0].when"))


def test_it_is_found_behind_the_pivot_too() -> None:
    ship = BODY.replace(", readOnly: true", "") % 'events["opt.done"].data.id'
    pay = "pay: opt.done; pivot: true"
    skipped = "opt: order.placed; when: event.data.n > 5.0, readOnly: true"
    [found] = check(steps(skipped, pay, f"ship: pay.done; {ship}"))
    assert (found.code, found.path) == ("SM024", "spec.steps[2].action.body")
    assert f'events["opt.done"].data {SKIPPED}' in found.message
    assert check(steps("opt: order.placed; readOnly: true", pay, f"ship: pay.done; {ship}")) == ()


def test_only_the_last_event_of_a_step_stands_for_its_being_skipped() -> None:
    for event, expected in (("yes", []), ("no", ["SM024"])):
        listening = steps(OPT.replace("-> no opt.done", "-> yes no"), f"a: {event}; {BODY % 'event.data.id'}")
        assert codes(check(listening)) == expected


def test_a_when_that_asks_for_the_data_is_enough_for_all_of_its_step() -> None:
    asked = "when: event.data != null && event.data.n > 5.0"
    assert check(steps(OPT, f"a: opt.done; {asked}, {BODY % 'event.data.id'}")) == ()
    other = f"b: opt.done; {BODY % 'event.data.id'}"
    assert codes(check(steps(OPT, f"a: opt.done; {asked}, readOnly: true", other))) == ["SM024"]


def test_event_has_no_meaning_where_a_step_joins_several() -> None:
    field = BODY % "event.data"
    (found,) = check(steps("a: order.placed", "b: order.placed", f"c: a.done b.done; {field}"))
    assert (found.code, found.path) == ("SM019", "spec.steps[2].action.body")
    assert "no single event" in found.message
    assert found.message.endswith('name the one you mean, as in events["a.done"].data')
    (found,) = check(steps("a: order.placed; when: 'events[event.id].data.x == 1.0', readOnly: true"))
    assert 'write events["order.placed"].data, or "order.placed" in events' in found.message
    assert check(steps("a: order.placed -> x y", f"c: x y; join: any, {field}")) == ()


def test_events_that_are_certain() -> None:
    right = steps("a: order.placed", f"b: a.done; {naming('order.placed')}", f"c: b.done; {naming('a.done')}")
    assert check(right) == ()


@pytest.mark.parametrize(
    ("event", "code"),
    [
        ("nowhere", "SM020"),  # nobody announces it
        ("c.done", "SM020"),  # its own
        ("no", "SM020"),  # of an ancestor that has ended otherwise
        ("n.done", "SM020"),  # of a branch that excludes this one
        ("other.done", "SM020"),  # of a step beside it
        ("b.done", None),
        ("yes", None),
        ("order.placed", None),
    ],
)
def test_events_that_are_named(event: str, code: str | None) -> None:
    named = steps("a: order.placed -> yes no", "other: order.placed", "n: no", "b: yes", f"c: b.done; {naming(event)}")
    assert codes(check(named)) == ([code] if code else [])


@pytest.mark.parametrize(
    ("event", "code"), [("x.done", "SM021"), ("yes", None), ("no", None), ("b.done", None), ("m.done", "SM020")]
)
def test_events_of_one_of_several_branches(event: str, code: str | None) -> None:
    named = steps(
        "x: order.placed",
        "a: order.placed -> yes no",
        "b: yes x.done",
        f"m: b.done no; join: any, {naming(event)}",
    )
    assert codes(check(named)) == ([code] if code else [])


def test_what_depends_on_the_wiring_is_not_asked_while_it_is_wrong() -> None:
    assert codes(check(steps("a: nowhere", f"b: order.placed; {naming('a.done')}"))) == ["SM003"]
