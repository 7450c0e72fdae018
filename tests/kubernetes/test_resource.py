"""What the API server makes of a Saga: whom it refuses and why, what it fills in, and what `kubectl` shows of it.

It must never refuse what core accepts, for the same file is checked offline first. What it cannot judge, the operator
does, by the same core.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import config
from kubernetes.dynamic import DynamicClient

from sagamesh import api_group
from sagamesh.api_group import CRD
from sagamesh.language import checks, spec
from sagamesh.language.descriptions import FIELDS
from sagamesh_jetstream.client.ports import JsonObject
from sagamesh_operator.sagas import acceptance
from support.builders import spec_cases
from support.builders.check_examples import EXAMPLES as OF_CHECKS
from support.builders.check_examples import of_fields
from support.builders.documents import CHECKOUT, in_language_page, put
from support.builders.spec_cases import FULL, document, places, step
from support.servers.control_plane import Cluster, until
from support.servers.judging import Judge, judge

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*/saga*.yaml"))


@pytest.fixture(scope="module")
def judged(resources: Cluster) -> Iterator[Judge]:
    with judge(resources, resources.namespace()) as running:
        yield running


def saga(**fields: Any) -> JsonObject:
    """The least saga that may be stored, with fields of its step set, or removed where they are `...`."""
    return document(steps=[step(**{"readOnly": True, **fields})])


def plain(**fields: Any) -> JsonObject:
    """The same, with fields of `spec`."""
    return document(**{"steps": [step(readOnly=True)], **fields})


def starting(**fields: Any) -> JsonObject:
    return plain(start={"participant": "orders", "event": "order.placed", **fields})


def calling(**fields: Any) -> JsonObject:
    return saga(action={"path": "/charges", **fields})


def undone(**fields: Any) -> JsonObject:
    return saga(readOnly=..., compensation={"path": "/refund", **fields})


def emitting(*events: object) -> JsonObject:
    return saga(emits=list(events))


def named(name: object) -> JsonObject:
    return {**saga(), "metadata": {"name": name}}


def many(count: int, **fields: Any) -> JsonObject:
    return document(steps=[step(name=f"s{n}", readOnly=True, **fields) for n in range(count)])


GOOD: dict[str, JsonObject] = {
    **{
        f"{path.parent.name}/{path.name} {n}": written
        for path in EXAMPLES
        for n, written in enumerate(yaml.safe_load_all(path.read_text()))
    },
    "docs/language.md": yaml.safe_load(in_language_page()),
    "checkout": yaml.safe_load(CHECKOUT),
    "minimal": saga(),
    "null is absent": saga(**dict.fromkeys(("when", "join", "pivot", "emits", "compensation"))),
    "null is absent in a call": calling(body=None, timeout=None, within=None, retry=None),
    "null is absent at the start": starting(key=None),
    "a pivot, and nothing to undo after it": document(
        steps=[step(pivot=True, when=None, compensation=None), step(name="ship", after=["charge.done"])]
    ),
    "the longest names": {
        **document(
            start={"participant": "p" * 63, "event": "e" * 128, "key": f"'{'k' * 2046}'"},
            steps=[step(name="s" * 63, participant="p" * 63, after=["e" * 128], readOnly=True)],
        ),
        "metadata": {"name": "n" * 63},
    },
    "the longest texts": saga(
        readOnly=...,
        when=f"'{'x' * 2040}' != ''",
        action={"path": "/" + "a" * 256, "body": f"{{'x': '{'x' * 2039}'}}"},
        compensation={"path": "/" + "b" * 256},
    ),
    "the longest durations": {
        **plain(
            parkAfter="720h",
            steps=[
                step(
                    action={
                        "path": "/",
                        "timeout": "1h",
                        "within": "719h59m59.999s1ms",
                        "retry": {"backoff": "1m", "maxBackoff": "1m"},
                    },
                    compensation={"path": "/", "timeout": "0.5h30m"},
                )
            ],
        )
    },
    "the shortest durations": calling(timeout="0.001ms", within="0.001ms"),
    "the most events": emitting(
        *({"event": f"e{n}", "when": f"response.status == {n}"} for n in range(31)), {"event": "e"}
    ),
    "the most inputs": document(
        steps=[
            *(step(name=f"s{n}", readOnly=True) for n in range(100)),
            step(name="join", after=[f"s{n}.done" for n in range(100)], readOnly=True),
        ]
    ),
    "the most steps": many(500, action={"path": "/" + "a" * 256, "body": f"{{'x': '{'x' * 200}'}}"}),
}

UNKNOWN = "unknown field"
LABEL = "must be a DNS label (lower case letters, digits and '-', at most 63)"
TYPE = "must be an event type (letters, digits, '.', '_' and '-', at most 128)"
PATH = "must be a path at the participant's app (letters, digits and '._~/-'; no host, query or '..')"
HOUR, MONTH, MINUTE = (f"must be a duration over 0 and up to {most}, such as '200ms'" for most in ("1h", "720h", "1m"))
ENUM = "Unsupported value"
KIND = "must be of type"
EMPTY = "should be at least 1 chars long"
FEW, MUCH, LONG = "should have at least 1 items", "must have at most", "Too long: may not be more than"
TWICE, MISSING = "Duplicate value", "Required value"

BAD: dict[str, tuple[JsonObject, str]] = {
    # between fields
    "SM001": (document(steps=[step(readOnly=True)] * 2), TWICE),
    "SM002": (emitting({"event": "order.placed"}), "SM002: no step may emit the event that starts the saga"),
    "SM006": (saga(after=["order.placed", "order.placed"]), TWICE),
    "SM007": (document(), "SM007: in a saga without a pivot every step needs a `compensation`, or `readOnly: true`"),
    "SM007, null": (saga(readOnly=None, compensation=None), "SM007"),
    "SM008": (saga(compensation={"path": "/refund"}), "SM008: a step that is `readOnly` may not have a `compensation`"),
    "SM009": (saga(readOnly=..., pivot=True, compensation={"path": "/"}), "SM009: the pivot may not have a `compensat"),
    "SM011": (
        document(steps=[step(pivot=True), step(name="ship", after=["charge.done"], pivot=True)]),
        "SM011: at most one step may be the pivot",
    ),
    "SM012": (saga(readOnly=..., pivot=True, when="true"), "SM012: the pivot may not have a `when`"),
    "SM017": (emitting({"event": "a", "when": "true"}), "SM017: the last event of `emits` may not have a `when`"),
    "SM017 of two": (emitting({"event": "a", "when": "true"}, {"event": "b", "when": "true"}), "SM017"),
    "SM022": (calling(timeout="10s", within="9.999s"), "SM022: `timeout`, of one call, must not be longer than `wit"),
    "SM022 by default": (calling(timeout="121s"), "SM022"),
    "SM023": (calling(retry={"backoff": "2s", "maxBackoff": "1s"}), "SM023: `backoff`, the first delay, must not be"),
    "SM023 by default": (calling(retry={"backoff": "11s"}), "SM023"),
    "no `after`": (saga(after=...), "spec.steps[0].after: Required value"),
    "the old name of `after`": (saga(after=..., on=["order.placed"]), "spec.steps[0].on"),
    "the old name of `after`, as kubectl reads it": (saga(after=..., true=["order.placed"]), "spec.steps[0].true"),
    # unknown, or not built
    "deadline": (plain(deadline="15m"), UNKNOWN + ' "spec.deadline"'),
    "a slip": (plain(stesp=[]), UNKNOWN + ' "spec.stesp"'),
    "a slip in a step": (saga(readonly=True), UNKNOWN + ' "spec.steps[0].readonly"'),
    "a slip in a call": (calling(timout="1s"), UNKNOWN),
    "a slip in a delay": (calling(retry={"backof": "1s"}), UNKNOWN),
    "a slip in an event": (emitting({"event": "a", "after": 1}), UNKNOWN),
    "within of a compensation": (undone(within="1m"), UNKNOWN),
    "a slip at the start": (starting(keys="event.id"), UNKNOWN),
    "a slip at the top": ({**saga(), "items": {}}, UNKNOWN),
    "a status of its own": ({**saga(), "status": {"phase": "Running"}}, UNKNOWN + ' "status.phase"'),
    # missing
    "no spec": ({name: field for name, field in saga().items() if name != "spec"}, "spec: " + MISSING),
    "no start": (plain(start=...), "spec.start: " + MISSING),
    "no steps": (plain(steps=...), "spec.steps: " + MISSING),
    "no participant at the start": (plain(start={"event": "a"}), "spec.start.participant: " + MISSING),
    "no event at the start": (plain(start={"participant": "a"}), "spec.start.event: " + MISSING),
    "no name": (saga(name=...), "spec.steps[0].name: " + MISSING),
    "no participant": (saga(participant=...), "spec.steps[0].participant: " + MISSING),
    "no action": (saga(action=...), "spec.steps[0].action: " + MISSING),
    "no path": (saga(action={}), "spec.steps[0].action.path: " + MISSING),
    "no path of a compensation": (saga(readOnly=..., compensation={}), "spec.steps[0].compensation.path: " + MISSING),
    "no event": (emitting({}), "spec.steps[0].emits[0].event: " + MISSING),
    # forms
    "two words as name": (named("a.b"), "metadata.name " + LABEL),
    "a long name": (named("a" * 64), "metadata.name " + LABEL),
    "a step's name": (saga(name="a_b"), LABEL),
    "a step's name in capitals": (saga(name="Charge"), LABEL),
    "a step's name with a line's end": (saga(name="a\n"), LABEL),
    "a participant of another namespace": (saga(participant="shop/payments"), LABEL),
    "a participant with a dot": (saga(participant="payments.shop"), LABEL),
    "a participant at the start": (starting(participant="-orders"), LABEL),
    "an event at the start": (starting(event="order placed"), TYPE),
    "an event that is announced": (emitting({"event": "a."}), TYPE),
    "an event that is heard": (saga(after=["order placed"]), "should match '^[A-Za-z0-9]"),
    **{f"the path {path!r}": (calling(path=path), PATH) for path in spec_cases.REFUSED_PATHS if len(path) < 257},
    "the path of a compensation": (undone(path="/.."), PATH),
    **{
        f"the duration {text!r}": (calling(timeout=text), HOUR)
        for text in ("", "5", "0s", "-5s", "1d", "1us", "1.0001s")
    },
    "an unknown join": (saga(join="one"), ENUM),
    "an unknown order": (plain(compensationOrder="backwards"), ENUM),
    # bounds
    "no step": (plain(steps=[]), FEW),
    "too many steps": (many(501), MUCH),
    "no input": (saga(after=[]), FEW),
    "too many inputs": (saga(after=[f"e{n}" for n in range(101)]), MUCH),
    "no event of several": (saga(emits=[]), FEW),
    "too many events": (emitting(*({"event": f"e{n}", "when": "true"} for n in range(32)), {"event": "e"}), MUCH),
    "a long step's name": (saga(name="a" * 64), LONG),
    "a long participant": (saga(participant="a" * 64), LONG),
    "a long event": (saga(after=["a" * 129]), LONG),
    "a long path": (calling(path="/" + "a" * 257), LONG),
    "a long when": (saga(when="x" * 2049), LONG),
    "a long body": (calling(body="x" * 2049), LONG),
    "a long body of a compensation": (undone(body="x" * 2049), LONG),
    "a long key": (starting(key="x" * 2049), LONG),
    "a long duration": (calling(timeout="0" * 31 + "1s"), LONG),
    "an empty when": (saga(when=""), EMPTY),
    "an empty body": (calling(body=""), EMPTY),
    "an empty key": (starting(key=""), EMPTY),
    "a timeout": (calling(timeout="1h0.001ms", within="2h"), HOUR),
    "a timeout of a compensation": (undone(timeout="61m"), HOUR),
    "a within": (calling(within="721h"), MONTH),
    "a park after": (plain(parkAfter="720h1ms"), MONTH),
    "a backoff": (calling(retry={"backoff": "61s", "maxBackoff": "1m"}), MINUTE),
    "the longest backoff": (calling(retry={"maxBackoff": "2m"}), MINUTE),
    # types
    "steps": (plain(steps="a"), KIND + " array"),
    "a step": (plain(steps=["a"]), KIND + " object"),
    "an action": (saga(action="/a"), KIND + " object"),
    "after": (saga(after="order.placed"), KIND + " array"),
    "after in after": (saga(after=[["a"]]), KIND + " string"),
    "when": (saga(when=True), KIND + " string"),
    "pivot": (saga(pivot="yes"), KIND + " boolean"),
    "readOnly": (saga(readOnly=1), KIND + " boolean"),
    "timeout": (calling(timeout=5), KIND + " string"),
    "body": (calling(body=["a"]), KIND + " string"),
}


@pytest.mark.parametrize("name", GOOD)
def test_what_is_accepted(judged: Judge, name: str) -> None:
    assert errors(GOOD[name]) == []
    assert judged.refusal(GOOD[name]) == ""
    assert judged.refusal_of_apply(GOOD[name]) == ""


@pytest.mark.parametrize("name", BAD)
def test_what_is_refused(judged: Judge, name: str) -> None:
    wrong, says = BAD[name]
    assert errors(wrong) or "status" in wrong  # which is not core's
    assert says in judged.refusal(wrong)
    assert judged.refusal_of_apply(wrong)


def test_the_largest_saga_does_not_cost_too_much(judged: Judge) -> None:
    """Everything at its bound, but for what would not fit into the 1.5 MiB of an object: the rules have a budget."""
    delays = {"backoff": "0" * 29 + "1s", "maxBackoff": "0" * 29 + "1m"}
    action = {"path": "/" + "a" * 256, "timeout": "0.1s" * 8, "within": "0" * 29 + "1m", "retry": delays}
    steps = [
        step(
            name=f"s{n}",
            participant="p" * 63,
            after=[f"e{i}" for i in range(100)],
            action=action,
            emits=[*({"event": f"e{n}.{i}", "when": "x"} for i in range(31)), {"event": f"s{n}.done"}],
            compensation={"path": "/" + "a" * 256},
        )
        for n in range(500)
    ]
    assert judged.refusal(document(steps=steps)) == ""


# -- the server and core -------------------------------------------------------------------------------------------

VALUES: tuple[Any, ...] = (None, True, 0, 1.5, "", " ", "a", "5s", "0.5ms", "/a", "order.placed", [], {}, ["a"], [None])


def errors(written: JsonObject) -> list[str]:
    """Why core refuses a document."""
    problems = [str(problem) for problem in spec.problems(written)]
    found = () if problems else checks.check(spec.read(written))
    return problems + [finding.message for finding in found if finding.level == "error"]


def undoable(written: Any) -> Any:
    """The same, with steps that need no compensation: else half of the documents would be refused for that alone."""
    steps = written.get("spec", {}).get("steps") if isinstance(written.get("spec"), dict) else None
    if not isinstance(steps, list) or not all(isinstance(each, dict) for each in steps):
        return written
    changed = [each if {"compensation", "pivot"} & each.keys() else {"readOnly": True, **each} for each in steps]
    return {**written, "spec": {**written["spec"], "steps": changed}}


def of_unit_tests() -> Iterator[JsonObject]:
    """All documents that the unit tests of core read or refuse."""
    yield from ({**document(), **change} for change, *_ in spec_cases.FRAMES)
    yield from (wrong for wrong, *_ in spec_cases.FIELDS)
    yield from (calling(**fields) for fields, _ in spec_cases.BOUNDS)
    yield from (calling(path=path) for path in (*spec_cases.PATHS, *spec_cases.REFUSED_PATHS))
    yield from (saga(after=[event]) for event in spec_cases.EVENTS)
    yield from (starting(event=event) for event in spec_cases.EVENTS)
    yield from (calling(timeout=text) for text, _ in spec_cases.DURATIONS)
    yield from (calling(timeout=text) for text in spec_cases.REFUSED_DURATIONS)
    yield from (of_fields(text) for texts in OF_CHECKS.values() for text in texts)
    yield from (yaml.safe_load(text) for text in (FULL, CHECKOUT, in_language_page()))


def changed() -> Iterator[JsonObject]:
    """Two whole sagas, with each of VALUES in each place, and with each place removed."""
    for whole in map(yaml.safe_load, (FULL, CHECKOUT)):
        for place in places(whole):
            if place[:1] == ("spec",):
                yield from (put(whole, place, value) for value in (*VALUES, ...))


def comparable(*documents: JsonObject) -> Iterator[JsonObject]:
    """Those that can be sent, each once, and each with steps that may be undone. A status is the server's business."""
    seen = set()
    for written in documents:
        for each in (written, undoable(written)):
            try:
                text = json.dumps({name: field for name, field in each.items() if name != "status"}, allow_nan=False)
            except (TypeError, ValueError):  # no JSON
                continue
            if text not in seen:
                seen.add(text)
                yield json.loads(text)


@pytest.fixture(scope="module")
def right() -> list[JsonObject]:
    """Hundreds of sagas that core accepts."""
    found = [written for written in comparable(*of_unit_tests(), *changed()) if not errors(written)]
    assert len(found) > 200
    return found


def test_the_server_refuses_nothing_that_core_accepts(judged: Judge, right: list[JsonObject]) -> None:
    """And so core refuses what the server does."""
    refused = [(judged.refusal(written), judged.refusal_of_apply(written), written) for written in right]
    assert [each for each in refused if each[0] or each[1]] == []


def test_the_server_refuses_what_cannot_be_read(judged: Judge) -> None:
    """All but an expression of blanks, which is left to those who compile it."""
    unreadable = [written for written in comparable(*of_unit_tests()) if spec.problems(written)]
    accepted = [written for written in unreadable if not judged.refusal(written)]
    assert len(unreadable) > 100
    assert {problem.path for written in accepted for problem in spec.problems(written)} == {"spec.steps[0].when"}


def test_what_is_stored_means_the_same(judged: Judge, right: list[JsonObject]) -> None:
    """The server fills in the defaults of core: neither model nor revision tells whether it did."""
    for written in right:
        stored = judged.created(written)
        assert stored["spec"]["parkAfter"]
        same = {**written, "metadata": {**written["metadata"], "namespace": stored["metadata"]["namespace"]}}
        assert spec.read(stored) == spec.read(same)
        assert acceptance.judge(stored).revision == acceptance.judge(same).revision != ""


# -- what kubectl shows --------------------------------------------------------------------------------------------

LONGEST = "a-saga-of-25-letters-long"
READY = {
    "type": "Ready",
    "status": "False",
    "observedGeneration": 1,
    "lastTransitionTime": "2026-01-02T03:04:05Z",
    "reason": "SidecarsBehind",
    "message": "revision 5f0c9a1e77 is not held yet by every sidecar of orders",
}
REVISION = acceptance.judge(saga()).revision
STATUS = {"activeRevision": REVISION, "participantCount": 12, "synced": "120/121", "conditions": [READY]}


@pytest.fixture
def operate(resources: Cluster, namespace: str) -> Iterator[Callable[[JsonObject], JsonObject]]:
    """Applies a status, as the operator does and with its rights; returns the object as it is then."""
    with config.new_client_from_config(str(resources.kubeconfig("operator"))) as api:
        client = DynamicClient(api)

        def applied(status: JsonObject, name: str = LONGEST) -> JsonObject:
            body = {
                "apiVersion": api_group.API_VERSION,
                "kind": api_group.KIND,
                "metadata": {"name": name},
                "status": status,
            }
            path = f"/apis/{api_group.API_VERSION}/namespaces/{namespace}/sagas/{name}/status"
            how = {"content_type": "application/apply-patch+yaml", "field_manager": "sagamesh-operator"}
            return client.request("patch", path, body=body, **how).to_dict()

        yield applied
        api.rest_client.pool_manager.clear()


@pytest.fixture
def kubectl(resources: Cluster, namespace: str) -> Callable[..., str]:
    """`kubectl` in the test's namespace; returns what it prints."""
    return lambda *arguments, **how: resources.kubectl(*arguments, "-n", namespace, **how).stdout


def apply(kubectl: Callable[..., str], written: JsonObject) -> JsonObject:
    """As a user does."""
    told = kubectl("apply", "--server-side", "-o", "json", "-f", "-", stdin=json.dumps(written))
    return dict(json.loads(told))


def test_a_status_is_no_change_of_the_spec(
    kubectl: Callable[..., str], operate: Callable[[JsonObject], JsonObject]
) -> None:
    before = apply(kubectl, named(LONGEST))
    after = operate(STATUS)
    assert after["status"] == STATUS
    assert after["metadata"]["generation"] == before["metadata"]["generation"] == 1
    assert after["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"]
    again = apply(kubectl, named(LONGEST))  # without a conflict
    assert (again["metadata"]["generation"], again["status"]) == (1, STATUS)
    changed = apply(kubectl, {**plain(parkAfter="1h"), "metadata": {"name": LONGEST}})
    assert (changed["metadata"]["generation"], changed["status"]) == (2, STATUS)


def test_a_status_changes_no_spec(kubectl: Callable[..., str], operate: Callable[..., JsonObject]) -> None:
    apply(kubectl, named(LONGEST))
    changed = {**plain(parkAfter="1h"), "metadata": {"name": LONGEST}}
    kubectl("patch", "saga", LONGEST, "--subresource=status", "--type=merge", "-p", json.dumps(changed))
    assert json.loads(kubectl("get", "saga", LONGEST, "-o", "json"))["spec"]["parkAfter"] == "10m"


def test_an_apply_says_nothing_of_a_status(kubectl: Callable[..., str]) -> None:
    assert "status" not in apply(kubectl, {**named(LONGEST), "status": {"synced": "9/9"}})


def test_columns(kubectl: Callable[..., str], operate: Callable[[JsonObject], JsonObject]) -> None:
    apply(kubectl, named(LONGEST))
    operate(STATUS)
    title, line = kubectl("get", "saga").splitlines()
    assert title.split() == ["NAME", "READY", "REVISION", "PARTICIPANTS", "SYNCED", "AGE"]
    assert line.split()[:-1] == [LONGEST, "False", REVISION, "12", "120/121"]
    assert title.index("AGE") + len("2y300d") <= 80
    wide_title, wide_line = kubectl("get", "saga", "-o", "wide").splitlines()
    assert wide_title.split() == [*title.split(), "REASON"]
    assert wide_line.split()[-1] == "SidecarsBehind"


@pytest.mark.parametrize("name", ["saga", "sagas", "sm", "sagamesh", "sagas.sagamesh.dev"])
def test_names_of_the_resource(kubectl: Callable[..., str], name: str) -> None:
    apply(kubectl, named(LONGEST))
    assert kubectl("get", name, "-o", "name") == f"saga.sagamesh.dev/{LONGEST}\n"


def test_one_can_wait_for_it(kubectl: Callable[..., str], operate: Callable[[JsonObject], JsonObject]) -> None:
    apply(kubectl, named(LONGEST))
    operate({**STATUS, "conditions": [{**READY, "status": "True"}]})
    assert "condition met" in kubectl("wait", "--for=condition=Ready", f"saga/{LONGEST}", "--timeout=10s")


def test_it_is_explained(resources: Cluster) -> None:
    def explained(*path: str) -> str:
        return resources.kubectl("explain", *path, check=False).stdout

    until(lambda: "FIELDS:" in explained("saga.spec"))  # the server publishes schemas in its own time
    listed = re.findall(r"^ +(\w+)\t", explained("saga.spec", "--recursive"), re.MULTILINE)
    assert sorted(listed) == sorted(path.rpartition(".")[2] for path in FIELDS if path != "spec")
    said = " ".join(explained("saga.spec.steps.action.within").split())
    assert FIELDS["spec.steps.action.within"] in said


# -- rights --------------------------------------------------------------------------------------------------------

MAY = ("list sagas", "watch sagas", "patch sagas/status", "create events.events.k8s.io", "get namespaces/kube-system")
MAY_NOT = (
    *("get sagas", "patch sagas", "update sagas", "delete sagas", "get sagas/status", "update sagas/status"),
    *("patch events.events.k8s.io", "create events", "list namespaces", "get namespaces/default"),
    *("list pods", "get secrets", "list configmaps", f"get customresourcedefinitions/{CRD}"),
)


def may(cluster: Cluster, user: str, question: str, namespace: str) -> bool:
    verb, _, what = question.partition(" ")
    resource, _, below = what.partition("/")
    asked = (verb, resource, f"--subresource={below}") if below == "status" else (verb, what)
    told = cluster.kubectl("auth", "can-i", *asked, "-n", namespace, user=user, check=False).stdout
    return {"yes": True, "no": False}[told.strip()]


def test_the_operator_may_do_what_it_does_and_no_more(resources: Cluster, namespace: str) -> None:
    until(lambda: may(resources, "operator", MAY[0], namespace))
    assert [question for question in MAY if not may(resources, "operator", question, namespace)] == []
    assert [question for question in MAY_NOT if may(resources, "operator", question, namespace)] == []


ROLES = ("sagamesh-view", "sagamesh-edit")
"""What the cluster's role `edit` gains by them. They are bound directly: the controller manager does not run here."""


def test_a_tenant_has_sagas_in_his_own_namespace_only(resources: Cluster, namespace: str) -> None:
    other = resources.namespace()
    for role in ROLES:
        bound = (f"--clusterrole={role}", "--user=tenant", "-n", namespace)
        resources.kubectl("create", "rolebinding", role, *bound)

    until(lambda: all(may(resources, "tenant", question, namespace) for question in ("create sagas", "get sagas")))

    def tenant(*arguments: str, where: str = namespace, written: JsonObject | None = None) -> str:
        sent = json.dumps(written or {})
        done = resources.kubectl(*arguments, "-n", where, user="tenant", stdin=sent, check=False)
        return done.stderr

    assert tenant("apply", "-f", "-", written=saga()) == ""
    assert tenant("apply", "--server-side", "--force-conflicts", "-f", "-", written=plain(parkAfter="1h")) == ""
    assert tenant("get", "sagas") == ""
    assert "Forbidden" in tenant("create", "-f", "-", where=other, written=saga())
    assert "Forbidden" in tenant("get", "sagas", where=other)
    status = (
        "patch",
        "saga",
        "checkout",
        "--subresource=status",
        "--type=merge",
        "-p",
        '{"status": {"synced": "1/1"}}',
    )
    assert "Forbidden" in tenant(*status)
    assert "Forbidden" in tenant("delete", "crd", CRD)
    assert tenant("delete", "saga", "checkout") == ""
    for what in ("sagas/status", f"customresourcedefinitions/{CRD}"):
        assert not any(may(resources, "tenant", f"{verb} {what}", namespace) for verb in ("get", "patch", "update"))


def test_the_rights_join_those_of_the_cluster(resources: Cluster) -> None:
    """By their labels, for which the controller manager looks."""
    for role, selected in (("view", ROLES[:1]), ("edit", ROLES), ("admin", ROLES)):
        label = f"rbac.authorization.k8s.io/aggregate-to-{role}=true,app.kubernetes.io/part-of=sagamesh"
        found = resources.kubectl("get", "clusterroles", "-l", label, "-o", "name").stdout.split()
        assert {name.partition("/")[2] for name in found} == {*selected}
