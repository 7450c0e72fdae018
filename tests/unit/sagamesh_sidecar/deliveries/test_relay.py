"""The relay: what it costs, what it does when something is away, unknown, unreadable or slow."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Mapping

import pytest

from sagamesh.distribution import buckets
from sagamesh.errors import UnreadableError
from sagamesh.language.model import Action, Saga
from sagamesh.log import codec, registers
from sagamesh.log.registers import NULL, OUTCOME, Aborted, Cause, Done, Failed, Origin, Start
from sagamesh.protocol.answers import Answer, Answered, Away
from sagamesh.protocol.attempt import Given, Operation
from sagamesh.protocol.effects import LEASE_LOST, Nak
from sagamesh.rules.projection import project
from sagamesh_sidecar.adapters.memory import MemoryLog
from sagamesh_sidecar.deliveries.work import Work
from sagamesh_sidecar.ports import Guard
from support.builders import attempts, shapes
from support.fakes.mesh import LOST, FakeApp, Mesh, Peer, ok, scenario


@scenario
async def test_a_straight_saga_of_three_steps_costs_seven_writes_three_deliveries_and_no_reads():
    async with Mesh(shapes.straight(3)).running() as mesh:
        await mesh.start()
        assert await mesh.ended() == "committed"
        peers = mesh.peers.values()
        await mesh.until(lambda: sum(p.metric("deliveries_total", saga="simulated", result="ack") for p in peers) == 3)
        assert sum(peer.log.counts["writes"] for peer in peers) == 7
        assert sum(peer.log.counts["reads"] for peer in peers) == 0


@scenario
async def test_data_pass_from_app_to_log_to_app_and_every_call_says_what_it_is():
    async with Mesh(shapes.straight(2)).running() as mesh:
        started = await mesh.start(data={"total": 5})
        await mesh.ended()
        [(path, headers, body)] = mesh.peers["p-s1"].app.calls
        assert (path, body) == ("/s1", {"from": "/s0"})
        assert mesh.peers["p-s0"].app.calls[0][2] == {"total": 5}
        assert headers["idempotency-key"] == f'"default/simulated/i-1/{started.run}/s1/action"'
        assert headers["ce-type"] == "s0.ok"
        assert headers["saga-run"] == started.run
        assert headers["saga-attempt"] == "1"


@scenario
async def test_a_refusal_goes_back_in_reverse_order_and_compensations_get_request_result_and_cause():
    async with Mesh(shapes.straight(3)).running() as mesh:
        mesh.peers["p-s2"].app.answers["/s2"] = ok({"detail": "no"}, status=422)
        await mesh.start(data={"total": 5})
        assert await mesh.ended() == "aborted"
        assert [peer.app.paths for peer in mesh.peers.values()] == [
            [],
            ["/s0", "/s0/undo"],
            ["/s1", "/s1/undo"],
            ["/s2", "/s2/undo"],
        ]
        failed = mesh.values()[registers.end("s2")]
        assert isinstance(failed, Failed)
        assert (failed.kind, failed.reason, failed.deliveries) == ("refused", "no", 1)
        _, headers, body = mesh.peers["p-s1"].app.calls[1]
        assert headers["saga-end"] == "done"
        assert body["request"] == {"from": "/s0"}
        assert body["result"] == {"from": "/s1"}
        assert body["cause"] == {"kind": "refused", "reason": "no", "step": "s2"}
        assert mesh.peers["p-s2"].app.calls[1][1]["saga-end"] == "failed"


@scenario
async def test_a_lost_answer_is_asked_for_again_with_the_same_key():
    async with Mesh(shapes.straight(1)).running() as mesh:
        app = mesh.peers["p-s0"].app
        app.answers["/s0"] = LOST
        await mesh.start()
        await mesh.until(lambda: len(app.calls) >= 2)
        app.answers.clear()
        done = await mesh.value(registers.end("s0"))
        assert isinstance(done, Done)
        assert done.deliveries == len(app.calls)
        assert len({headers["idempotency-key"] for _, headers, _ in app.calls}) == 1


@scenario
async def test_a_call_says_how_often_its_delivery_was_handed_out():
    async with Mesh(shapes.straight(2)).running() as mesh:
        first, last = mesh.peers["p-s0"].app, mesh.peers["p-s1"].app
        last.answers["/s1"] = ok({"detail": "not yet"}, status=409)
        first.answers["/s0/undo"] = LOST
        await mesh.start()
        await mesh.until(lambda: len(last.calls) == 3)
        last.answers["/s1"] = ok({"detail": "no"}, status=422)
        await mesh.until(lambda: first.paths.count("/s0/undo") == 2)
        first.answers.clear()
        await mesh.ended()
        for app, path in ((last, "/s1"), (first, "/s0"), (first, "/s0/undo")):
            said = [headers["saga-attempt"] for called, headers, _ in app.calls if called == path]
            assert said == [str(number) for number in range(1, len(said) + 1)]


@scenario
async def test_while_an_app_is_away_nothing_begins_and_what_needs_no_app_goes_on():
    saga = shapes.saga(shapes.step("first"), shapes.step("a", "first.ok"), shapes.step("b", "first.ok"))
    async with Mesh(saga).running() as mesh:
        away, there = mesh.peers["p-b"], mesh.peers["p-a"]
        away.app.away = True
        await mesh.start("found-out")
        await mesh.until(lambda: away.availability.away)
        await mesh.start("waits")
        await mesh.value(registers.end("a"), "waits")
        there.app.answers["/a"] = ok({"detail": "no"}, status=422)
        await mesh.start("aborted")
        assert await mesh.ended("aborted") == "aborted"  # though the app never came back
        assert registers.begin("b") not in mesh.values("waits")
        assert away.app.calls == []
        assert away.metric("app_up") == 0
        away.app.away = False
        assert await mesh.ended("waits") == "committed"
        assert await mesh.ended("found-out") == "committed"
        assert away.metric("app_up") == 1


@pytest.mark.parametrize("away", [True, False])
def test_what_comes_again_is_told_by_the_way_and_hardly_so_where_it_only_waits(
    away: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "sagamesh.relay")

    @scenario
    async def test() -> None:
        async with Mesh(shapes.straight(1)).running() as mesh:
            peer = mesh.peers["p-s0"]
            peer.app.away = away
            peer.app.answers["/s0"] = ok(status=500)
            await mesh.start()
            await mesh.until(lambda: any(record.getMessage() == "again later" for record in caplog.records))

    test()
    levels = {record.levelno for record in caplog.records if record.getMessage() == "again later"}
    assert levels == {logging.DEBUG if away else logging.INFO}


@scenario
async def test_a_root_whose_app_is_away_ends_with_the_abort_and_is_undone_when_the_app_is_back():
    """It has no `begin`, by which somebody could know that nobody has called it."""
    async with Mesh(shapes.saga(shapes.step("a"), shapes.step("b"))).running() as mesh:
        away = mesh.peers["p-b"]
        away.app.away = True
        mesh.peers["p-a"].app.answers["/a"] = ok({"detail": "no"}, status=422)
        await mesh.start()
        failed = await mesh.value(registers.end("b"))
        assert isinstance(failed, Failed)
        assert failed.reason == "the app was away while the saga was aborted"
        await mesh.value(registers.compensation("a"))
        assert registers.compensation("b") not in mesh.values()
        away.app.away = False
        assert await mesh.ended() == "aborted"
        assert away.app.paths == ["/b/undo"]


def two_steps_at_one_participant() -> Saga:
    last = shapes.step("c", ["a.ok", "b.ok"])
    return shapes.saga(shapes.step("a", at="owner"), shapes.step("b", at="owner"), last)


def answers_503_once(app: FakeApp, path: str) -> None:
    async def busy() -> Answer:
        del app.answers[path]
        return ok(status=503)

    app.answers[path] = busy


@scenario
async def test_after_a_503_the_trial_is_left_to_the_step_that_calls():
    """Two own steps of one delivery: the one that is done asks the app nothing, and must not use the trial up."""
    async with Mesh(two_steps_at_one_participant()).running() as mesh:
        app = mesh.peers["owner"].app
        answers_503_once(app, "/b")
        await mesh.start()
        assert await mesh.ended() == "committed"
        assert sorted(app.paths) == ["/a", "/b", "/b"]


@scenario
async def test_after_a_503_on_the_notice_the_trial_is_left_to_the_step_that_calls():
    async with Mesh(two_steps_at_one_participant()).running() as mesh:
        app = mesh.peers["owner"].app
        mesh.peers["p-c"].app.answers["/c"] = ok({"detail": "no"}, status=422)
        answers_503_once(app, "/b/undo")
        await mesh.start()
        assert await mesh.ended() == "aborted"
        assert app.paths.count("/b/undo") >= 2


@scenario
async def test_a_path_that_says_503_holds_up_no_other_of_its_app_and_is_told():
    async with Mesh(two_steps_at_one_participant()).running() as mesh:
        peer = mesh.peers["owner"]
        peer.app.answers["/b"] = ok({"detail": "no database"}, status=503)
        names = [f"i{number}" for number in range(20)]
        for name in names:
            await mesh.start(name)
        for name in names:
            await mesh.value(registers.end("a"), name)
        assert peer.metric("app_up") == 1
        await mesh.until(lambda: all(mesh_reason(mesh, name, "b") for name in names))
        assert {mesh_reason(mesh, name, "b") for name in names} == {"POST /b answered 503: no database"}
        assert peer.app.paths.count("/a") == len(names)
        peer.app.answers.clear()
        for name in names:
            assert await mesh.ended(name) == "committed"


def mesh_reason(mesh: Mesh, name: str, step: str) -> str:
    return mesh.peers["owner"].parking_reasons(mesh.instance(name)).get(step, "")


@scenario
async def test_behind_an_app_that_is_away_stands_what_was_wrong_before():
    async with Mesh(two_steps_at_one_participant()).running() as mesh:
        peer = mesh.peers["owner"]
        peer.app.answers["/b"] = Answered(307, {"location": "/b/"}, b"")
        await mesh.start()
        await mesh.until(lambda: mesh_reason(mesh, "i-1", "b"))
        peer.app.away = True
        said = "the app is away; before that: POST /b answered 307, Location: /b/"
        await mesh.until(lambda: mesh_reason(mesh, "i-1", "b") == said)
        peer.app.away = False
        peer.app.answers.clear()
        assert await mesh.ended() == "committed"


@scenario
async def test_a_503_is_away_too():
    async with Mesh(shapes.straight(1)).running() as mesh:
        peer = mesh.peers["p-s0"]
        peer.app.answers["/s0"] = ok(status=503)
        await mesh.start()
        await mesh.until(
            lambda: peer.metric("calls_total", saga="simulated", step="s0", kind="action", answer="503") >= 1
        )
        assert registers.end("s0") not in mesh.values()
        peer.app.answers.clear()
        assert await mesh.ended() == "committed"


@scenario
async def test_the_log_going_away_in_the_middle_loses_nothing():
    async with Mesh(shapes.straight(3)).running() as mesh:
        reached, release = asyncio.Event(), asyncio.Event()

        async def slow() -> Answer:
            reached.set()
            await release.wait()
            return ok()

        mesh.peers["p-s1"].app.answers["/s1"] = slow
        await mesh.start()
        await reached.wait()
        mesh.server.down()
        release.set()
        await mesh.until(lambda: mesh.peers["p-s1"].metric("writes_total", register="end", result="unknown") >= 2)
        mesh.server.up()
        assert await mesh.ended() == "committed"
        assert mesh.peers["p-s1"].app.paths == ["/s1"]


@scenario
async def test_lost_replies_and_stale_reads_change_nothing():
    async with Mesh(shapes.straight(3)).running() as mesh:
        mesh.server.lose_replies(4)
        mesh.server.stale(6)
        await mesh.start()
        assert await mesh.ended() == "committed"
        assert [peer.app.paths for peer in mesh.peers.values()] == [[], ["/s0"], ["/s1"], ["/s2"]]


@scenario
async def test_a_long_call_keeps_its_lease():
    async with Mesh(shapes.straight(1), ack_wait=0.3).running() as mesh:
        release = asyncio.Event()

        async def slow() -> Answer:
            await release.wait()
            return ok()

        peer = mesh.peers["p-s0"]
        peer.app.answers["/s0"] = slow
        await mesh.start()
        await mesh.until(lambda: peer.app.calls)
        [hand] = peer.relay._in_hand
        first = hand.renewed
        # F18: The lease is renewed while the app works
        await mesh.until(lambda: hand.renewed > first + 0.6)
        release.set()
        await mesh.ended()
        assert len(peer.app.calls) == 1


@scenario
async def test_an_attempt_that_lost_its_lease_leaves_the_call_to_the_next():
    async with Mesh(shapes.straight(2), ack_wait=0.3).running() as mesh:
        peer = mesh.peers["p-s1"]
        execute = peer.relay.executor.execute

        async def slow_at_first(work: Work, operation: Operation) -> Given:
            given = await execute(work, operation)
            if peer.relay.executor.execute is slow_at_first:
                [hand] = peer.relay._in_hand
                hand.renewed -= 1.0
                peer.relay.executor.execute = execute
            return given

        peer.relay.executor.execute = slow_at_first
        await mesh.start()
        done = await mesh.value(registers.end("s1"))
        assert isinstance(done, Done)
        assert (done.deliveries, len(peer.app.calls)) == (2, 1)


@scenario
async def test_a_delivery_whose_lease_ran_out_before_its_attempt_began_is_left_to_the_next():
    async with Mesh(shapes.straight(1), ack_wait=0.3).running() as mesh:
        peer = mesh.peers["p-s0"]
        attempt_id = peer.executor.attempt_id

        def stood_still() -> str:
            [hand] = peer.relay._in_hand
            hand.renewed -= 1.0
            peer.executor.attempt_id = attempt_id
            return attempt_id()

        peer.executor.attempt_id = stood_still
        await mesh.start()
        done = await mesh.value(registers.end("s0"))
        assert isinstance(done, Done)
        assert (done.deliveries, len(peer.app.calls)) == (2, 1)


@scenario
async def test_a_register_from_the_future_is_neither_acked_nor_guessed_at():
    async with Mesh(shapes.straight(1)).running() as mesh:
        log, peer = MemoryLog(mesh.server), mesh.peers["p-s0"]
        await log.put(
            mesh.instance().subject(registers.START), {"saga-origin": "r;0;0;rev;pod;a"}, b'{"value":"future"}'
        )
        await mesh.until(lambda: peer.metric("unreadable_registers_total") == 1)
        # F61: unknown values are held
        assert peer.metric("deliveries_total", saga="simulated", result="nak") == 1
        # F61: never guessed at
        assert peer.app.calls == []


def test_a_register_that_contradicts_others_is_held_counted_and_told(caplog: pytest.LogCaptureFixture) -> None:
    scenario(held_that_contradicts_others)()
    told = [record for record in caplog.records if record.levelno > logging.WARNING]
    # F43: told
    assert {(record.getMessage(), record.step, record.reason) for record in told} == {  # type: ignore[attr-defined]
        ("implausible register", step, "_.abort contradicts what has decided the saga") for step in ("s0", "s1")
    }


async def held_that_contradicts_others() -> None:
    async with Mesh(shapes.straight(3, pivot=2)).running() as mesh:
        log, naks = MemoryLog(mesh.server), given_back(mesh.peers["p-s0"])
        started = await mesh.start()
        assert await mesh.ended() == "committed"
        forged = registers.Notice(Cause("cancelled", "forged"))
        origin = Origin(started.run, 1, 0.0, mesh.documents["app"].revision, "pod", "attempt")
        headers, body = codec.encode(registers.ABORT, forged, origin, "somebody")
        await log.put(mesh.instance().subject(registers.ABORT), headers, body)
        await mesh.until(lambda: naks)
        told = "_.abort contradicts what has decided the saga"
        # F43: it is held
        assert naks == [Nak(60.0, told, at_least=60.0, implausible="abort")]
        for name in ("p-s0", "p-s1"):
            await mesh.until(lambda name=name: mesh.peers[name].parking_reasons(mesh.instance()))
            # F43: counted
            assert mesh.peers[name].metric("implausible_registers_total", register="abort") == 1
            assert set(mesh.peers[name].parking_reasons(mesh.instance()).values()) == {told}
        # F43: A forged notice of a committed saga undoes nothing
        assert mesh.peers["p-s0"].app.paths == ["/s0"]


@scenario
async def test_a_revision_that_is_not_here_is_held_and_asked_for():
    async with Mesh(shapes.straight(1)).running() as mesh:
        step = shapes.replace(mesh.saga.steps[0], action=Action(path="/newer"))
        mesh.documents = project(shapes.replace(mesh.saga, steps=(step,)))
        newer = mesh.documents["p-s0"].revision
        peer = mesh.peers["p-s0"]
        start = Start("start", "i-1", "test", "digest", NULL)
        headers, body = codec.encode(registers.START, start, Origin("run", 0, 0.0, newer, "pod", "attempt"), "app")
        await MemoryLog(mesh.server).put(mesh.instance().subject(registers.START), headers, body)
        naks = given_back(peer)
        # F36: A delivery whose revision is not here yet is held
        await mesh.until(lambda: naks)
        assert naks[0] == Nak(1.0, f"revision {newer} is not here yet")
        assert peer.app.calls == []
        await mesh.distribute()
        assert await mesh.ended() == "committed"
        # F36: it is carried out as soon as the document comes
        assert peer.app.paths == ["/newer"]


@scenario
async def test_the_end_of_a_saga_is_counted_once_by_whoever_wrote_it():
    for saga in (shapes.straight(2), shapes.straight(3, pivot=1), *map(shapes.SHAPES.__getitem__, COUNTED)):
        async with Mesh(saga).running() as mesh:
            await mesh.start("a")
            assert await mesh.ended("a") == "committed"
            refusing = saga.pivot or saga.steps[-1]
            mesh.peers[refusing.participant].app.answers[refusing.action.path] = ok(status=400)
            await mesh.start("b")
            assert await mesh.ended("b") == "aborted"
            await mesh.until(lambda mesh=mesh: mesh.server.idle(mesh.stream))
            assert finished(mesh) == {"committed": 1, "aborted": 1}
            assert mesh.starter.metric("sagas_started_total", saga="simulated") == 2


COUNTED = ("two roots", "pivot alone", "pivot with two retriable sinks", "nothing undoable before the pivot", "diamond")


def finished(mesh: Mesh) -> dict[str, float]:
    """How many instances everybody together says have ended so."""
    metric = "sagas_finished_total"
    peers = mesh.peers.values()
    return {
        outcome: sum(peer.metric(metric, saga="simulated", outcome=outcome) for peer in peers)
        for outcome in ("committed", "aborted")
    }


@scenario
async def test_a_cancel_that_writes_the_last_register_counts_the_end():
    saga = shapes.saga(
        shapes.step("first", kind="readOnly"), shapes.step("charge", "first.ok", kind="pivot"), shapes.step("last")
    )
    nothing = shapes.saga(*saga.steps[:2])
    for undone, counted in ((nothing, 1), (saga, 0)):
        async with Mesh(undone).running() as mesh:
            mesh.peers["p-first"].app.away = True
            await mesh.start()
            await mesh.until(lambda mesh=mesh: mesh.peers["p-first"].availability.away)
            await mesh.cancel()
            assert mesh.starter.metric("sagas_finished_total", saga="simulated", outcome="aborted") == counted
            assert await mesh.ended() == "aborted"
            mesh.peers["p-first"].app.away = False
            await mesh.until(lambda mesh=mesh: mesh.server.idle(mesh.stream))
            await mesh.cancel()
            assert finished(mesh) == {"committed": 0, "aborted": 1}, "once, whoever cancels again"


@scenario
async def test_at_shutdown_what_is_in_hand_goes_back_at_once():
    async with Mesh(shapes.straight(1)).running() as mesh:
        peer = mesh.peers["p-s0"]
        calls = 0

        async def hang_once() -> Answer:
            nonlocal calls
            calls += 1
            if calls == 1:
                await asyncio.Event().wait()
            return ok()

        peer.app.answers["/s0"] = hang_once
        await mesh.start()
        await mesh.until(lambda: peer.app.calls)
        await peer.relay.give_back()
        assert await mesh.ended() == "committed"
        assert calls == 2


@scenario
async def test_cancelling_before_and_after_the_decision():
    async with Mesh(shapes.straight(2)).running() as mesh:
        peer = mesh.peers["p-s1"]
        reached, release = asyncio.Event(), asyncio.Event()

        async def slow() -> Answer:
            reached.set()
            await release.wait()
            return ok()

        peer.app.answers["/s1"] = slow
        await mesh.start()
        await reached.wait()
        known = await mesh.cancel()
        assert isinstance(known.value(OUTCOME), Aborted)
        release.set()
        assert await mesh.ended() == "aborted"
        assert peer.app.paths == ["/s1", "/s1/undo"]


@scenario
async def test_a_begun_action_whose_app_went_away_gives_way_to_an_abort():
    async with Mesh(shapes.straight(2)).running() as mesh:
        peer = mesh.peers["p-s1"]

        async def dies() -> Answer:
            peer.app.away = True
            return LOST

        peer.app.answers["/s1"] = dies
        await mesh.start()
        await mesh.until(lambda: peer.availability.away)
        await mesh.cancel()
        assert isinstance(await mesh.value(registers.end("s1")), Failed)
        assert peer.app.away


@scenario
async def test_of_hundreds_of_steps_of_one_delivery_only_so_many_are_at_work_at_once():
    names = [f"s{n}" for n in range(100)]
    async with Mesh(shapes.saga(*(shapes.step(name, at="p") for name in names))).running() as mesh:
        peer = mesh.peers["p"]
        at_once, most = 0, 0

        async def slow() -> Answer:
            nonlocal at_once, most
            at_once += 1
            most = max(most, at_once)
            await asyncio.sleep(1.0)
            at_once -= 1
            return ok()

        peer.app.answers |= {f"/{name}": slow for name in names}
        await mesh.start()
        assert await mesh.ended() == "committed"
        assert most == 32


@scenario
async def test_one_step_that_cannot_be_read_does_not_hold_up_the_other():
    saga = shapes.saga(shapes.step("a", at="one"), shapes.step("b", at="one"))
    async with Mesh(saga).running() as mesh:
        peer = mesh.peers["one"]
        peer.app.answers["/b"] = LOST
        await mesh.start()
        await mesh.until(lambda: peer.parking_reasons(mesh.instance()) == {"b": "POST /b: reset"})
        await mesh.value(registers.end("a"))
        junk = mesh.instance().subject(registers.end("b"))
        assert isinstance(await MemoryLog(mesh.server).put(junk, {}, b"junk"), int)
        await mesh.until(lambda: peer.metric("unreadable_registers_total") >= 1)
        await mesh.until(lambda: "unreadable" in peer.parking_reasons(mesh.instance())["b"])
        await mesh.until(lambda: not peer.relay._in_hand)
        assert peer.app.paths.count("/a") == 1


@scenario
async def test_f57_a_delivery_for_which_there_is_no_memory_comes_again_soon():
    async with Mesh(shapes.straight(1)).running() as mesh:
        peer = mesh.peers["p-s0"]
        execute, short = peer.executor.execute, 2

        async def starving(work, operation):
            nonlocal short
            if short:
                short -= 1
                raise MemoryError
            return await execute(work, operation)

        peer.executor.execute = starving
        await mesh.start()
        assert await mesh.ended() == "committed"
        # F57: deliveries come again
        assert peer.app.paths == ["/s0"]


@scenario
async def test_a_delivery_whose_rules_are_of_an_older_format_says_so():
    async with Mesh(shapes.straight(1)).running() as mesh:
        old = shapes.replace(mesh.documents["p-s0"], revision="1111111111")
        log, peer = MemoryLog(mesh.server), mesh.peers["p-s0"]
        document = json.dumps({"format": 1, "saga": "simulated", "revision": old.revision}).encode()
        await log.put(buckets.rules_subject(old), {}, document)
        start = Start("start", "i-1", "test", "digest", NULL)
        headers, body = codec.encode(
            registers.START, start, Origin("run", 0, 0.0, old.revision, "pod", "attempt"), "app"
        )
        await log.put(mesh.instance().subject(registers.START), headers, body)
        told = "revision 1111111111 cannot be used: rules of format 1; this version reads format 2"
        await mesh.until(lambda: peer.parking_reasons(mesh.instance()).get("", "").startswith(told))
        assert peer.app.calls == []


@pytest.mark.parametrize(
    ("error", "reason", "delay", "at_least", "told"),
    [
        (UnreadableError("a riddle"), "unreadable: a riddle", 60.0, 60.0, "unreadable register"),
        (MemoryError(), "the sidecar has no memory left", 2.0, 1.0, "no memory left to handle a delivery"),
        (KeyError(), "a fault of the sidecar itself; its log says more", 60.0, 60.0, "a delivery could not be handled"),
    ],
    ids=("unreadable", "no memory", "a fault of ours"),
)
def test_what_goes_wrong_here_is_told_and_comes_again(
    error: Exception, reason: str, delay: float, at_least: float, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    @scenario
    async def test() -> None:
        async with Mesh(shapes.straight(1)).running() as mesh:
            peer, naks = mesh.peers["p-s0"], given_back(mesh.peers["p-s0"])

            async def fails(work: Work, operation: Operation) -> Given:
                raise error

            peer.executor.execute = fails
            await mesh.start()
            await mesh.until(lambda: naks)
            assert naks == [Nak(delay, reason, at_least=at_least)]

    test()
    assert [(r.levelno, r.getMessage(), vars(r)["subject"][-7:]) for r in caplog.records if r.levelno > 30] == [
        (logging.ERROR, told, "_.start")
    ]


@pytest.mark.parametrize(("age", "late"), [(0.5, False), (59.9, False), (60.1, True)])
def test_a_delivery_is_late_a_minute_after_its_register_was_stored(age: float, late: bool) -> None:
    """And the saga has taken as long as that."""

    @scenario
    async def test() -> None:
        mesh, passed, guards = Mesh(shapes.straight(1)), 0.0, []
        mesh.server.clock = lambda: 1e9 + passed
        peer = mesh.peers.pop("p-s0")
        put = peer.log.put

        async def watched(subject: str, headers: Mapping[str, str], body: bytes, *, guard: Guard | None = None):
            if subject.endswith(".begin"):
                guards.append(guard)
            return await put(subject, headers, body, guard=guard)

        peer.log.put = watched
        async with mesh.running():
            await mesh.start()
            passed = age
            async with peer.running():
                await mesh.value(OUTCOME)
                await mesh.until(lambda: not peer.relay.in_flight)
        assert guards == ([Guard(mesh.instance().subject(registers.START), 1)] if late else [])
        ended = peer.metric("saga_duration_seconds_sum", saga="simulated", outcome="committed")
        assert ended == pytest.approx(age)

    test()


def given_back(peer: Peer) -> list[Nak]:
    """What is given back from now on, as it is asked for."""
    naks: list[Nak] = []
    delay = peer.relay.retry_budget.delay

    def asked(subject: str, nak: Nak, **costs: float) -> float:
        naks.append(nak)
        return delay(subject, nak, **costs)

    peer.relay.retry_budget.delay = asked
    return naks


@scenario
async def test_what_was_settled_is_not_renewed_any_more():
    async with Mesh(shapes.straight(1)).running() as mesh:
        peer, hands = mesh.peers["p-s0"], []

        async def look() -> Answer:
            hands.extend(peer.relay._in_hand)
            return ok()

        peer.app.answers["/s0"] = look
        await mesh.start()
        await mesh.ended()
        await mesh.until(lambda: not peer.relay.in_flight)
        [hand] = hands
        before = hand.renewed
        await peer.relay._renew(hand)
        assert hand.renewed == before


@scenario
async def test_a_lease_that_the_server_does_not_confirm_is_lost():
    async with Mesh(shapes.straight(1), ack_wait=0.3).running() as mesh:
        peer = mesh.peers["p-s0"]
        release = asyncio.Event()

        async def slow() -> Answer:
            await release.wait()
            return ok()

        peer.app.answers["/s0"] = slow
        await mesh.start()
        await mesh.until(lambda: peer.app.calls)
        [hand] = peer.relay._in_hand
        mesh.server.down()
        last = hand.renewed
        await mesh.until(lambda: asyncio.get_running_loop().time() - last > 0.6)
        assert hand.renewed - last < 0.15  # at most the one that was under way
        mesh.server.up()
        release.set()
        assert await mesh.ended() == "committed"


@scenario
async def test_a_call_that_fails_is_told_at_once_and_at_each_doubling(caplog: pytest.LogCaptureFixture) -> None:
    async with Mesh(shapes.straight(2)).running() as mesh:
        app, other = mesh.peers["p-s0"].app, mesh.peers["p-s1"].app
        app.answers["/s0"] = ok({"detail": "boom"}, status=500)
        other.answers["/s1"] = ok({"detail": "no"}, status=422)
        app.answers["/s0/undo"] = LOST
        await mesh.start()
        await mesh.until(lambda: len(app.calls) == 5)
        app.answers["/s0"] = ok({}, status=503)  # away is no failure
        await mesh.until(lambda: len(app.calls) == 7)
        app.answers["/s0"] = ok({})
        await mesh.until(lambda: app.paths.count("/s0/undo") == 3)
        app.answers.clear()
        assert await mesh.ended() == "aborted"
    told = [vars(record) for record in caplog.records if "failures" in vars(record)]
    assert {(line["levelname"], line["saga"], line["instance"], line["step"]) for line in told} == {
        ("WARNING", "simulated", "i-1", "s0")
    }
    action, undo = "POST /s0 answered 500: boom", "POST /s0/undo: reset"
    assert [(line["failures"], line["reason"]) for line in told] == [
        *((number, action) for number in (1, 2, 4)),
        *((number, undo) for number in (1, 2)),
    ], "and nothing of the refusal, which is an answer"


def test_an_expression_that_cannot_be_evaluated_is_told_and_counted_once_for_each_call(
    caplog: pytest.LogCaptureFixture,
) -> None:
    book = attempts.step("book", undo='{"id": result.id}')
    stop = attempts.step("stop", "book.ok", body='{"x": event.data.missing}')

    @scenario
    async def undone_at_the_third_call() -> None:
        async with Mesh(shapes.saga(book, stop)).running() as mesh:
            app, other = mesh.peers["p-book"], mesh.peers["p-stop"]
            app.app.answers["/book"] = ok({})
            app.app.answers["/book/undo"] = LOST
            await mesh.start()
            await mesh.until(lambda: app.app.paths.count("/book/undo") >= 2)
            app.app.answers["/book/undo"] = ok({})
            assert await mesh.ended() == "aborted"
            undone = app.app.paths.count("/book/undo")
            labels = {"saga": "simulated", "step": "book", "place": "compensation.body"}
            assert app.metric("expressions_failed_total", **labels) == undone
            labels = {"saga": "simulated", "step": "stop", "place": "action.body"}
            assert other.metric("expressions_failed_total", **labels) == 1
            assert other.app.paths == ["/stop/undo"], "its action was never called"

    undone_at_the_third_call()
    told = [record for record in caplog.records if record.name == "sagamesh.executor"]
    assert {record.levelname for record in told} == {"WARNING"}
    assert [(r.saga, r.instance, r.step, r.place) for r in told[:2]] == [  # type: ignore[attr-defined]
        ("simulated", "i-1", "stop", "action.body"),
        ("simulated", "i-1", "book", "compensation.body"),
    ]
    assert told[1].reason.startswith('{"id": result.id}: ')  # type: ignore[attr-defined]


@scenario
async def test_an_answer_that_the_log_cannot_take_fails_its_step_and_the_saga_is_undone():
    """By a server for small messages, say: it would never take it, however often it was tried."""
    async with Mesh(shapes.straight(2)).running() as mesh:
        last = mesh.peers["p-s1"]
        last.log._max_message = 64 * 1024
        last.app.answers["/s1"] = ok("x" * 100_000)
        await mesh.start()
        await mesh.ended()
        failed = await mesh.value(registers.end("s1"))
        assert failed.kind == "unknown"
        assert re.fullmatch("the register would have 100[0-9]{3} bytes, and the log takes 65536", failed.reason)
        assert last.app.paths == ["/s1", "/s1/undo"]
        assert mesh.peers["p-s0"].app.paths == ["/s0", "/s0/undo"]


@pytest.mark.parametrize("away", [True, False], ids=["its app is away", "within is longer than parkAfter"])
@scenario
async def test_a_step_before_the_pivot_parks_as_any_other(away: bool) -> None:
    """As docs/protocol.md says below `within`."""
    patient = Action(path="/s0", within=3600.0)
    saga = shapes.straight(2, pivot=1)
    first = shapes.replace(saga.steps[0], action=patient)
    async with Mesh(shapes.replace(saga, park_after=5.0, steps=(first, *saga.steps[1:]))).running() as mesh:
        mesh.server.clock = asyncio.get_running_loop().time
        peer = mesh.peers["p-s0"]
        peer.app.away, peer.app.answers["/s0"] = away, LOST
        if away:
            peer.availability.observe("/s0", Away())
        await mesh.start()
        await mesh.until(lambda: peer.metric("sagas_parked", saga="simulated") == 1, seconds=60.0)
        assert registers.end("s0") not in mesh.values()
        peer.app.away, peer.app.answers["/s0"] = False, ok()
        assert await mesh.ended() == "committed"
        await mesh.until(lambda: peer.metric("sagas_parked", saga="simulated") == 0)


@pytest.mark.parametrize("undone", [False, True], ids=["an action", "a compensation"])
@scenario
async def test_a_step_whose_lease_is_lost_each_time_before_its_call_is_parked_and_says_so(undone: bool) -> None:
    async with Mesh(shapes.replace(shapes.straight(2), park_after=5.0), ack_wait=1.0).running() as mesh:
        mesh.server.clock = asyncio.get_running_loop().time
        peer, other = mesh.peers["p-s0"], mesh.peers["p-s1"]
        if undone:
            other.app.answers["/s1"] = ok({"detail": "no"}, status=422)
            other.app.away = True
            await mesh.start()
            await mesh.value(registers.end("s0"))
        peer.relay._is_ours = lambda _hand: False  # type: ignore[method-assign]  # as if it stood still each time
        other.app.away = False
        if not undone:
            await mesh.start()
        await mesh.until(lambda: peer.metric("sagas_parked", saga="simulated") == 1, seconds=60.0)
        assert peer.parking_reasons(mesh.instance()) == {"s0": LEASE_LOST}
        assert peer.app.paths == (["/s0"] if undone else [])
        del peer.relay._is_ours
        assert await mesh.ended() == ("aborted" if undone else "committed")
        await mesh.until(lambda: peer.metric("sagas_parked", saga="simulated") == 0)
