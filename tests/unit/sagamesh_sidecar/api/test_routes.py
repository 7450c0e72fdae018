"""The API over real sockets: uvicorn as the sidecar embeds it, the real instances and rulebook, the log in memory."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import resource
import time
from pathlib import Path
from typing import Any

import pytest

from sagamesh.log import registers
from sagamesh.log.registers import (
    NULL,
    OUTCOME,
    START,
    Cause,
    Committed,
    Failed,
    Instance,
    Name,
    Started,
)
from sagamesh.protocol.attempt import WriteRefused
from sagamesh.protocol.view.standing import Trouble
from sagamesh_sidecar.api import routes as module
from sagamesh_sidecar.web.problems import KINDS, ProblemError
from support.fakes.served_api import EVENT, JSON, SAGAS, TRACE, Reply, World, saga, scenario

COMPLETED = (
    (registers.begin("charge"), Started("d")),
    (registers.end("charge"), registers.Done("charge.ok", NULL)),
)
"""How a checkout commits, and ends: its pivot is the only sink."""

# -- POST /v1/events -----------------------------------------------------------------------------------------------


@scenario
async def test_start_and_start_again(world: World) -> None:
    first = await world.start()
    (entry,) = first.json["instances"]
    assert first.status == 202
    assert entry == {"saga": "checkout", "id": "o-1", "run": entry["run"], "duplicate": False, "status": 202}
    again = await world.start(ce_id="e-2", ce_time="2026-01-31T12:00:00Z")
    assert again.status == 200
    assert again.json["instances"] == [entry | {"duplicate": True, "status": 200}]


@scenario
async def test_the_same_key_with_another_payload(world: World) -> None:
    run = (await world.start()).json["instances"][0]["run"]
    reply = await world.start({"orderId": "o-1", "total": 12})
    assert reply.problem == (409, "key-conflict")
    (entry,) = reply.json["instances"]
    assert (entry["status"], entry["code"], entry["id"], entry["run"]) == (409, "key-conflict", "o-1", run)
    assert entry["detail"] == reply.json["detail"]


@scenario
async def test_no_header_of_an_app_gets_into_the_log(world: World) -> None:
    bad = {"nats-rollup": "all", "nats-ttl": "1s", "nats-expected-stream": "x", "kv-operation": "PURGE"}
    reply = await world.start(
        **bad, nats_msg_id="1", saga_origin="x", ce_extension="y", tracestate="z", traceparent=TRACE
    )
    assert reply.status == 202
    (message,) = world.messages("checkout")
    assert set(message.headers) == {"ce-specversion", "ce-id", "ce-source", "ce-type", "saga-origin", "traceparent"}
    assert message.headers["ce-source"] == "orders"
    assert message.headers["traceparent"] == TRACE
    assert message.headers["saga-origin"].endswith(tuple("0123456789"))


@scenario
async def test_a_trace_that_is_none_is_left_out(world: World) -> None:
    for n, trace in enumerate(["x", TRACE + "\tNats-Rollup: all", f"00-{'0' * 32}-{'1' * 16}-01", TRACE.upper()]):
        assert (await world.start({"orderId": f"o-{n}"}, traceparent=trace)).status == 202
    assert all("traceparent" not in message.headers for message in world.messages("checkout"))


@scenario
async def test_an_event_that_starts_two_sagas(world: World) -> None:
    first = await world.start({"orderId": "x"}, ce_type="both")
    assert first.status == 202
    assert [(e["saga"], e["id"], e["status"]) for e in first.json["instances"]] == [
        ("both-a", "e-1", 202),
        ("both-b", "x", 202),
    ]
    mixed = await world.start({"orderId": "x"}, ce_type="both", ce_id="e-2")
    assert (mixed.status, [e["status"] for e in mixed.json["instances"]]) == (202, [202, 200])
    worse = await world.start({}, ce_type="both", ce_id="e-3")
    assert worse.problem == (422, "bad-key")
    assert [(e["status"], e["code"]) for e in worse.json["instances"]] == [(424, "not-started"), (422, "bad-key")]
    assert all(set(e) == {"saga", "status", "code", "detail"} for e in worse.json["instances"])
    assert (await world.call("GET", "/v1/sagas/both-a/e-3")).problem == (404, "unknown-instance")
    worst = await world.start({"orderId": "x", "more": 1}, ce_type="both", ce_id="e-4")
    assert worst.problem == (409, "key-conflict")
    assert [e["status"] for e in worst.json["instances"]] == [202, 409]


@scenario
async def test_f13_where_one_key_cannot_be_made_nothing_of_a_batch_is_started(world: World) -> None:
    good = {"id": "1", "type": "order.placed", "data": {"orderId": "o-1"}}
    reply = await world.batch(good, {"id": "2", "type": "order.placed", "data": {}}, {"id": "3", "type": "both"})
    assert reply.problem == (422, "bad-key")
    assert [e["status"] for e in reply.json["instances"]] == [424, 422, 424, 422]
    assert not [world.messages(name) for name in ("checkout", "both-a", "both-b") if world.messages(name)]


@scenario
async def test_a_batch_tells_of_each_event(world: World) -> None:
    reply = await world.batch(
        {"id": "1", "type": "order.audited"},
        {"id": "2", "type": "order.placed", "data": {"orderId": "o-1"}},
        {"id": "1", "type": "order.audited"},
    )
    assert reply.status == 202
    assert [(e["saga"], e["id"], e["duplicate"]) for e in reply.json["instances"]] == [
        ("audit", "1", False),
        ("checkout", "o-1", False),
        ("audit", "1", True),
    ]


@scenario
async def test_nothing_of_a_batch_is_started_where_nobody_listens_to_a_part(world: World) -> None:
    reply = await world.batch({"id": "1", "type": "order.audited"}, {"id": "2", "type": "order.lost"})
    assert reply.problem == (404, "nobody-listens")
    assert "'order.lost'" in reply.json["detail"]
    assert "both, order.audited, order.placed" in reply.json["detail"]
    assert world.messages("audit") == ()


@scenario
async def test_events_that_are_none(world: World) -> None:
    assert (await world.start(ce_specversion="0.3")).problem == (400, "bad-event")
    assert (await world.call("POST", "/v1/events", b"{", JSON | EVENT)).problem == (400, "bad-event")
    assert (await world.start(content_type="text/plain")).problem == (415, "not-json")
    assert (await world.start(query="?wait=soon")).problem == (400, "bad-wait")
    assert (await world.start(query="?wait=5m1s")).problem == (400, "bad-wait")
    assert world.messages("checkout") == ()


@scenario
async def test_a_body_that_is_too_large(world: World) -> None:
    most = b'{"orderId": "o-1", "x": "' + b"x" * (256 * 1024 - 27) + b'"}'
    assert len(most) == 256 * 1024
    headers = JSON | EVENT
    assert (await world.call("POST", "/v1/events", most, headers)).status == 202
    assert (await world.call("POST", "/v1/events", most + b" ", headers)).problem == (413, "too-large")
    pieces = (b"x" * 65536 for _ in range(5))
    chunked = headers | {"transfer-encoding": "chunked"}
    assert (await world.call("POST", "/v1/events", pieces, chunked)).problem == (413, "too-large")


@scenario
async def test_an_event_that_this_log_cannot_take_is_refused_with_size_and_limit(world: World) -> None:
    world.log._max_message = 64 * 1024
    reply = await world.start({"orderId": "o-1", "x": "x" * 100_000})
    assert reply.problem == (413, "too-large")
    assert re.search("the register would have 100[0-9]{3} bytes, and the log takes 65536$", reply.json["detail"])
    assert [entry["status"] for entry in reply.json["instances"]] == [413]
    assert world.messages("checkout") == ()


@scenario
async def test_no_problem_repeats_more_than_500_characters_of_what_was_sent(world: World) -> None:
    for reply in (
        await world.start(content_type="application/cloudevents-" + "x" * 9000),
        await world.call("GET", f"/v1/sagas/{'x' * 9000}/o-1"),
        await world.call("POST", "/v1/events?wait=" + "x" * 9000, b"{}", JSON | EVENT),
    ):
        assert reply.status in (400, 404, 415)
        assert len(reply.json["detail"]) <= 500


@pytest.mark.parametrize(
    ("key", "data"),
    [
        (
            "event.data.l.all(i, event.data.l.all(j, event.data.s != '')) ? 'a' : 'b'",
            {"l": [1] * 1000, "s": "x" * 9000},
        ),
        ("event.data.l.exists(i, i == event.data.l[0] && event.data == 1) ? 'a' : 'b'", {"l": [[1] * 60] * 1000}),
        ("event.data.s + event.data.s + event.data.s + event.data.s", {"s": "x" * 250_000}),
        ("event.data.l.all(i, event.data.s.matches('(x+x+)+y')) ? 'a' : 'b'", {"l": [1] * 1000, "s": "x" * 9000}),
    ],
)
def test_a_key_that_could_cost_much_costs_little_whatever_the_data(key: str, data: object) -> None:
    async def play() -> None:
        world = World()
        async with asyncio.timeout(20):
            await world.distribute(saga("costly", "order.placed", key, pivot=False))
            async with world.serving():
                begun, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
                for n in range(3):
                    reply = await world.start(data, ce_id=f"e-{n}")
                    assert reply.status in (200, 202) or reply.problem == (422, "bad-key")
                assert time.process_time() - begun < 3.0
                assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 * 1024

    asyncio.run(play())


def test_bodies_that_wait_for_the_log_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BODIES", 1000)

    @scenario
    async def play(world: World) -> None:
        hanging = asyncio.Event()
        put = world.log.put

        async def held(*args: Any, **more: Any) -> int | WriteRefused:
            await hanging.wait()
            return await put(*args, **more)

        world.log.put = held  # type: ignore[method-assign]
        app: Any = world.server.app
        waiting = [asyncio.create_task(world.start({"orderId": f"o-{n}", "x": "x" * 400})) for n in range(2)]
        while app.room.left > 200:
            await asyncio.sleep(0.005)
        left = app.room.left
        assert (await world.start({"orderId": "o-2", "x": "x" * 400})).problem == (503, "busy")
        assert app.room.left == left, "what did not fit is not held"
        hanging.set()
        assert [(await one).status for one in waiting] == [202, 202]
        assert app.room.left == 1000
        assert (await world.start({"orderId": "o-2", "x": "x" * 400})).status == 202

    play()


@scenario
async def test_a_body_is_not_held_while_the_instance_is_waited_for(world: World) -> None:
    app: Any = world.server.app
    waiting = asyncio.create_task(world.start(query="?wait=10s"))
    while not world.messages("checkout"):
        await asyncio.sleep(0.005)
    await world.log.looked_at(2)
    assert app.room.left == module.BODIES
    await world.write("checkout/o-1", *COMPLETED)
    assert (await waiting).status == 202


@scenario
async def test_a_start_whose_reply_is_lost_is_still_one_start(world: World) -> None:
    world.nats.lose_replies(2)
    reply = await world.start()
    assert (reply.status, reply.json["instances"][0]["duplicate"]) == (202, False)


@scenario
async def test_a_log_that_does_not_answer(world: World) -> None:
    await world.start()
    world.nats.down()
    for reply, code in [
        (await world.start({"orderId": "o-2"}), "start-unknown"),
        (await world.call("GET", "/v1/sagas/checkout/o-1"), "log-unavailable"),
        (await world.cancel("checkout/o-1"), "log-unavailable"),
    ]:
        assert reply.problem == (503, code)
    world.nats.up()
    assert (await world.start({"orderId": "o-2"})).status == 202


def test_patience_with_the_log_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.02)

    @scenario
    async def play(world: World) -> None:
        await world.start()
        world.nats.lose_replies(10_000)
        world.nats.stale(10_000)
        assert (await world.start({"orderId": "o-2"})).problem == (503, "start-unknown")

    play()


def test_a_cancel_that_cannot_be_written_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    @scenario
    async def play(world: World) -> None:
        await world.start(ce_type="order.audited")
        monkeypatch.setattr(module, "PATIENCE", 0.02)
        monkeypatch.setattr(world.nats, "put", lambda *_: WriteRefused.UNKNOWN)
        assert (await world.cancel("audit/e-1")).problem == (503, "log-unavailable")

    play()


def test_rules_that_were_not_read_yet() -> None:
    async def play() -> None:
        world = World()
        async with asyncio.timeout(10), world.serving():
            assert (await world.start()).problem == (503, "rules-missing")
            assert (await world.call("GET", "/v1/sagas/checkout/o-1")).problem == (503, "rules-missing")
            await world.rulebook.refresh()
            assert (await world.start()).problem == (404, "nobody-listens")
            assert (await world.call("GET", "/v1/sagas/checkout/o-1")).problem == (404, "unknown-saga")

    asyncio.run(play())


# -- GET /v1/sagas/{saga}/{id} -------------------------------------------------------------------------------------


@scenario
async def test_look_at_an_instance(world: World) -> None:
    run = (await world.start()).json["instances"][0]["run"]
    reply = await world.call("GET", "/v1/sagas/checkout/o-1")
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/json"
    assert (reply.json["run"], reply.json["state"], reply.json["parked"]) == (run, "running", False)
    assert [step["state"] for step in reply.json["steps"]] == ["started", "waiting"]
    assert [moment["register"] for moment in reply.json["timeline"]] == ["start"]
    head = await world.call("HEAD", "/v1/sagas/checkout/o-1")
    assert (head.status, head.body) == (200, b"")


@scenario
async def test_an_instance_whose_key_became_a_digest(world: World) -> None:
    name = (await world.start({"orderId": "order 1/2"})).json["instances"][0]["id"]
    assert re.fullmatch("h-[a-z2-7]{26}", name)
    for key in (name, "order%201%2F2"):  # by either
        assert (await world.call("GET", f"/v1/sagas/checkout/{key}")).json["id"] == name


@scenario
async def test_instances_that_are_not_there(world: World) -> None:
    assert (await world.call("GET", "/v1/sagas/nothing/o-1")).problem == (404, "unknown-saga")
    for key in ["o-1", "h-*", "h-.%3E", "%3E", "*", "a.b", "o%201", "x" * 65, "", "h-x"]:
        assert (await world.call("GET", f"/v1/sagas/checkout/{key}")).problem == (404, "unknown-instance")
    assert (await world.call("GET", "/v1/sagas/checkout/a%2Fb")).problem == (404, "unknown-instance")
    for method, more in (("GET", ""), ("POST", "/cancel")):
        unknown = await world.call(method, f"/v1/sagas/checkout/order%201%2F2{more}")
        assert unknown.json["detail"] == "saga 'checkout' has no instance with the key 'order 1/2'", "as it was typed"
    assert (await world.call("GET", "/v1/sagas/checkout/a/b")).problem == (404, "no-such-path")


@scenario
async def test_a_stale_read_is_no_proof_of_absence(world: World) -> None:
    await world.start()
    world.nats.stale(1)
    assert (await world.call("GET", "/v1/sagas/checkout/o-1")).status == 200


@scenario
async def test_registers_of_the_future(world: World) -> None:
    await world.start()
    subject = Instance("shop", "checkout", "o-1").subject(Name("reserve", "hologram"))
    await world.log.put(subject, {}, b"{}")
    # F61: never guessed at
    assert (await world.call("GET", "/v1/sagas/checkout/o-1")).problem == (500, "unreadable")


@scenario
async def test_wait_until_it_is_finished(world: World) -> None:
    await world.start()
    waiting = asyncio.create_task(world.call("GET", "/v1/sagas/checkout/o-1?wait=10s"))
    await world.log.looked_at(2)
    world.nats.down()  # for a moment: no reason to end the wait
    await world.log.looked_at(1)
    world.nats.up()
    await world.write("checkout/o-1", *COMPLETED)
    reply = await waiting
    assert (reply.status, reply.json["state"], reply.json["outcome"]) == (200, "completed", "committed")


@scenario
async def test_wait_until_the_last_step_is_undone(world: World) -> None:
    """No register says that it is compensated, but that of the step which is undone last."""
    await world.start()
    await world.cancel("checkout/o-1", "changed my mind")
    waiting = asyncio.create_task(world.call("GET", "/v1/sagas/checkout/o-1?wait=10s"))
    await world.log.looked_at(2)
    await world.write("checkout/o-1", (registers.end("reserve"), registers.Done("reserve.ok", NULL)))
    await world.log.looked_at(2)
    assert not waiting.done()
    await world.write("checkout/o-1", (registers.compensation("reserve"), registers.Undone()))
    reply = await waiting
    assert (reply.status, reply.json["state"], reply.json["outcome"]) == (200, "compensated", "aborted")
    assert reply.json["finished"] == reply.json["timeline"][-1]["time"]


@scenario
async def test_a_wait_that_ends_before(world: World) -> None:
    await world.start()
    reply = await world.call("GET", "/v1/sagas/checkout/o-1?wait=60ms")
    assert (reply.status, reply.json["state"]) == (200, "running")
    assert (await world.call("GET", "/v1/sagas/checkout/o-1?wait=")).problem == (400, "bad-wait")


@scenario
async def test_start_and_wait(world: World) -> None:
    waiting = asyncio.create_task(world.start(query="?wait=10s"))
    await world.log.looked_at(1)
    await world.write("checkout/o-1", *COMPLETED)
    reply = await waiting
    (entry,) = reply.json["instances"]
    assert (reply.status, entry["duplicate"]) == (202, False)
    assert entry["instance"] == (await world.call("GET", "/v1/sagas/checkout/o-1")).json
    again = await world.start(query="?wait=10s")
    assert (again.status, again.json["instances"][0]["instance"]["state"]) == (200, "completed")
    conflict = await world.start({"orderId": "o-1", "more": 1}, query="?wait=10s")
    assert conflict.problem == (409, "key-conflict")
    assert "instance" not in conflict.json["instances"][0]


@scenario
async def test_a_client_that_hangs_up_ends_its_wait(world: World) -> None:
    await world.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", world.server.port)
    writer.write(b"GET /v1/sagas/checkout/o-1?wait=5m HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await world.log.looked_at(2)
    (request,) = (task for task in asyncio.all_tasks() if "run_asgi" in str(task.get_coro()))
    writer.close()
    await writer.wait_closed()
    await request
    assert not [task for task in asyncio.all_tasks() if "wait" in getattr(task.get_coro(), "__qualname__", "")]
    assert await reader.read() == b""


def test_a_stopping_server_answers_who_waits() -> None:
    async def play() -> Reply:
        world = World()
        await world.distribute(*SAGAS)
        async with asyncio.timeout(10):
            async with world.serving():
                await world.start()
                waiting = asyncio.create_task(world.call("GET", "/v1/sagas/checkout/o-1?wait=5m"))
                await world.log.looked_at(2)
            return await waiting

    reply = asyncio.run(play())
    assert (reply.status, reply.json["state"]) == (200, "running")


# -- POST /v1/sagas/{saga}/{id}/cancel -----------------------------------------------------------------------------


@scenario
async def test_cancel(world: World) -> None:
    await world.start()
    await world.start(ce_type="order.audited")
    for path, decides in [("checkout/o-1", "begin"), ("audit/e-1", "outcome")]:  # of the pivot; without one
        reply = await world.cancel(path, "changed my mind")
        assert reply.status == 200
        assert (reply.json["state"], reply.json["outcome"]) == ("aborting", "aborted")
        assert reply.json["cause"] == {"kind": "cancelled", "reason": "changed my mind"}
        assert [m["register"] for m in reply.json["timeline"]][-2:] == [decides, "abort"]
        again = await world.cancel(path, "changed my mind")
        assert (again.status, again.json) == (200, reply.json)
        other = await world.cancel(path)
        assert other.problem == (409, "decided")
        assert (other.json["outcome"], other.json["cause"]["reason"]) == ("aborted", "changed my mind")


@scenario
async def test_cancel_without_a_reason(world: World) -> None:
    await world.start()
    reply = await world.cancel("checkout/o-1")
    assert (reply.status, reply.json["cause"]) == (200, {"kind": "cancelled"})


@scenario
async def test_cancel_what_is_committed(world: World) -> None:
    await world.start()
    await world.start(ce_type="order.audited")
    await world.write("audit/e-1", (OUTCOME, Committed()))
    await world.write("checkout/o-1", *COMPLETED)
    for path in ["checkout/o-1", "audit/e-1"]:
        reply = await world.cancel(path, "too late")
        assert reply.problem == (409, "decided")
        assert (reply.json["outcome"], reply.json["cause"]) == ("committed", None)


@scenario
async def test_cancel_while_the_pivot_is_at_work(world: World) -> None:
    await world.start()
    await world.write("checkout/o-1", (registers.begin("charge"), Started("d")))
    # F51: a cancel that comes later is answered 409
    assert (await world.cancel("checkout/o-1", "too late")).problem == (409, "pivot-started")


@scenario
async def test_cancel_that_others_carry_on(world: World) -> None:
    """Somebody was faster to write what decides, for the same cause."""
    await world.start()
    await world.start(ce_type="order.audited")
    cause = Cause("cancelled", "mine")
    await world.write("checkout/o-1", (registers.begin("charge"), registers.Cancelled(cause)))
    await world.write("audit/e-1", (OUTCOME, registers.Aborted(cause)))
    for path in ["checkout/o-1", "audit/e-1"]:
        assert (await world.cancel(path, "mine")).status == 200


@scenario
async def test_cancel_what_a_refused_pivot_has_aborted(world: World) -> None:
    await world.start()
    await world.write(
        "checkout/o-1", (registers.begin("charge"), Started("d")), (registers.end("charge"), Failed("refused", "no"))
    )
    reply = await world.cancel("checkout/o-1", "no")
    assert reply.problem == (409, "decided")
    cause = {"kind": "refused", "reason": "no", "step": "charge"}
    assert (reply.json["outcome"], reply.json["cause"]) == ("aborted", cause)


@scenario
async def test_cancel_what_cannot_be_cancelled(world: World) -> None:
    assert (await world.cancel("checkout/o-1")).problem == (404, "unknown-instance")
    assert (await world.cancel("nothing/o-1")).problem == (404, "unknown-saga")
    start = (START, registers.Start("order.placed", "e", "s", "d"))
    await world.write("checkout/o-9", start, revision="0123456789")
    assert (await world.cancel("checkout/o-9")).problem == (503, "rules-missing")
    assert (await world.call("GET", "/v1/sagas/checkout/o-9")).json["revision"] == "0123456789"


@scenario
async def test_reasons_that_are_none(world: World) -> None:
    await world.start()
    bodies = [b"{", b"[]", b'"x"', b'{"reason": 1}', b'{"because": "x"}', b"\xff", b"[" * 100_000]
    for body in [*bodies, json.dumps({"reason": "x" * 501}).encode()]:
        assert (await world.call("POST", "/v1/sagas/checkout/o-1/cancel", body)).problem == (400, "bad-body")
    assert (await world.cancel("checkout/o-1", "x" * 500)).status == 200


# -- HTTP ----------------------------------------------------------------------------------------------------------


@scenario
async def test_methods_and_paths(world: World) -> None:
    for method, path, allow in [
        ("GET", "/v1/events", "POST"),
        ("DELETE", "/v1/sagas/checkout/o-1", "GET, HEAD"),
        ("GET", "/v1/sagas/checkout/o-1/cancel", "POST"),
    ]:
        reply = await world.call(method, path)
        assert reply.problem == (405, "method-not-allowed")
        assert reply.headers["allow"] == allow
    for path in ["/", "/v1", "/v1/events/", "/v1//events", "/v1/sagas/checkout", "/v1/sagas/checkout/o-1/steps/x"]:
        assert (await world.call("GET", path)).problem == (404, "no-such-path")


@scenario
async def test_a_drain_is_answered_when_it_is_over(world: World) -> None:
    asking = [asyncio.create_task(world.call("POST", "/v1/drain")) for _ in range(2)]
    while world.drains < 2:
        await asyncio.sleep(0.005)
    assert not any(task.done() for task in asking)
    world.drained.set()
    for reply in await asyncio.gather(*asking):
        assert (reply.status, reply.json) == (200, {"givenBack": 2})
    assert (await world.call("GET", "/v1/drain")).problem == (405, "method-not-allowed")
    assert (await world.call("POST", "/v1/drain", headers={"host": "evil.example"})).problem == (403, "foreign-host")


@scenario
async def test_only_this_machine_is_served(world: World) -> None:
    for host in ["localhost", "LOCALHOST:3650", "127.0.0.1", "127.0.0.1:1", "[::1]:3650"]:
        assert (await world.call("GET", "/", headers={"host": host})).problem == (404, "no-such-path")
    for host in ["", "evil.example", "localhost.evil.example", "127.0.0.1.nip.io:3650", "127.0.0.1:x", "10.0.0.1"]:
        assert (await world.call("GET", "/", headers={"host": host})).problem == (403, "foreign-host")
    mine = world.server.port
    others = ["http://localhost:8080", "http://localhost", f"https://localhost:{mine}", f"http://localhost:{mine}0"]
    for origin in ["https://evil.example", "null", "", f"http://localhost.evil.example:{mine}", *others]:
        assert (await world.call("GET", "/", headers={"origin": origin})).problem == (403, "foreign-host")
    for host in ("localhost", "127.0.0.1", "[::1]", "LOCALHOST"):
        assert (await world.call("GET", "/", headers={"origin": f"http://{host}:{mine}"})).status == 404


def test_a_fault_is_told_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    @scenario
    async def play(world: World) -> None:
        world.instances.start = None  # type: ignore[assignment, method-assign]
        with caplog.at_level(logging.ERROR, "sagamesh.api"):
            assert (await world.start()).problem == (500, "internal")

    play()
    assert "a request failed" in caplog.text


@scenario
async def test_f57_a_start_for_which_there_is_no_memory_can_be_sent_again(world: World) -> None:
    def short(*_: object) -> None:
        raise MemoryError

    start, world.instances.start = world.instances.start, short  # type: ignore[assignment, method-assign]
    # F57: answers starts with 503
    assert (await world.start()).problem == (503, "busy")
    world.instances.start = start  # type: ignore[method-assign]
    assert (await world.start()).status == 202


DOCS = Path(__file__).parents[4] / "docs"
TABLE = [(code, str(kind.status), kind.title) for code, kind in KINDS.items()]


def test_each_problem_has_a_section_where_its_type_leads_and_no_other_has() -> None:
    page = (DOCS / "problems.md").read_text()
    sections = re.findall(r"^## (.+)\n\n\*\*(\d{3}): (.+)\.\*\*\n\n\S", page, re.MULTILINE)
    assert sections == TABLE
    assert [heading for heading in page.splitlines() if heading.startswith("#")][1:] == [f"## {c}" for c, _, _ in TABLE]


def test_the_page_of_the_api_lists_them() -> None:
    listed = re.findall(
        r"^\| \[`(.+)`\]\(problems\.md#(.+)\) \| (\d{3}) \| (.+) \|$", (DOCS / "api.md").read_text(), re.MULTILINE
    )
    assert listed == [(code, code, status, title) for code, status, title in TABLE]


@pytest.mark.parametrize("code", KINDS)
def test_a_type_is_the_address_of_its_section(code: str) -> None:
    document = json.loads(ProblemError(code, "why").document())
    assert document["type"] == f"https://sagamesh.dev/docs/problems.md#{code}"


def test_every_problem_that_is_raised_is_in_the_table_and_no_other_stands_there() -> None:
    """Codes are written where they are raised: a word of the table that nobody says is one that nobody can meet."""
    written = "".join(
        path.read_text() for path in (DOCS.parent / "sidecar").rglob("*.py") if path.name != "problems.py"
    )
    assert {code for code in KINDS if f'"{code}"' not in written} == set()
    assert set(re.findall(r'ProblemError\(\s*"([a-z-]+)"', written)) <= KINDS.keys()


@scenario
async def test_what_fails_just_now_is_shown_with_its_reason(world: World) -> None:
    await world.start()
    instance = Instance("shop", "checkout", "o-1")
    for parked in (False, True):
        trouble = Trouble("charge", "the card reader is on fire", since=0.0, seen=60.0 + parked, park_after=60.0)
        world.parking.note(("subject", "charge"), instance, trouble)
        seen = (await world.call("GET", "/v1/sagas/checkout/o-1")).json
        assert seen["parked"] is parked
        assert [step["reason"] for step in seen["steps"]] == [None, "the card reader is on fire"]
    world.parking.clear(("subject", "charge"))
    assert (await world.call("GET", "/v1/sagas/checkout/o-1")).json["steps"][1]["reason"] is None
