"""Files of sagas that were cut or altered: whatever is wrong with one is said, with a line that it has."""

from __future__ import annotations

import io
import json
import sys
import time
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sagamesh_cli.saga_checks import judge
from support.builders.documents import CHECKOUT

fuzz = settings(max_examples=100, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
PIECES = st.sampled_from(
    [
        b"\n",
        b"  ",
        b"- ",
        b": ",
        b"{",
        b"}",
        b"[",
        b"]",
        b"'",
        b'"',
        b"&a ",
        b"*a",
        b"<<: ",
        b"!!python/object:os.system ",
        b"|\n",
        b"---\n",
        b"...\n",
        b"#",
        b"\t",
        b"\0",
        b"\xff",
        b"\xef\xbb\xbf",
        b"\xe2\x80\xa8",
        b"9" * 5000,
        b"[" * 200,
        b"? ",
        b"%YAML 3\n",
        b"spec:",
    ]
)


def check(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))
    judged = judge("-")
    lines = content.count(b"\n") + content.count(b"\r") + content.count(b"\xe2\x80") + content.count(b"\xc2\x85") + 1
    for finding in judged.findings:
        assert finding.message
        assert len(str(finding)) < 10_000
        assert finding.line is None or 1 <= finding.line <= lines + 1
    assert judged.findings or judged.sagas


@fuzz
@given(st.data())
def test_a_file_that_was_cut_or_altered_is_judged(monkeypatch: pytest.MonkeyPatch, draw: st.DataObject) -> None:
    content = bytearray(CHECKOUT.encode())
    for _ in range(draw.draw(st.integers(1, 4))):
        place = draw.draw(st.integers(0, len(content)))
        content[place : place + draw.draw(st.integers(0, 20))] = draw.draw(PIECES | st.binary(max_size=3))
    check(bytes(content), monkeypatch)


@fuzz
@given(st.binary(max_size=200) | st.lists(PIECES, max_size=12).map(b"".join))
@example(b"")
@example(b"spec: " + b"9" * 5000)
def test_any_bytes_are_judged(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    check(content, monkeypatch)


@pytest.mark.parametrize(
    "bomb",
    [
        "event.data.x.matches('(a{99}){99}')",
        "||".join(["event.data.a == 'x'"] * 100),
        "[1].all(a, [1].all(b, a == b && event.data == event.data))",
        "(" * 200 + "true" + ")" * 200,
        "-" * 2000 + "1 == 1",
        "{" * 1000,
        "event.data" + ".x" * 900 + " == 1",
        "'" + "\\U0010ffff" * 200 + "' == ''",
    ],
)
def test_a_file_full_of_expressions_that_cost_is_judged_in_bounded_time(
    bomb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    head, *_ = CHECKOUT.partition("    - name: reserve-credit")
    steps = ""
    while len(head) + len(steps) + len(bomb) + 200 < 256 << 10 and steps.count("- name") < 60:
        number = steps.count("- name")
        steps += f"    - name: s{number}\n      participant: p\n      after: [order.placed]\n"
        steps += f"      when: {json.dumps(bomb)}\n      action: {{path: /a}}\n      readOnly: true\n"
    begun = time.process_time()
    check((head + steps).encode(), monkeypatch)
    assert time.process_time() - begun < 5
