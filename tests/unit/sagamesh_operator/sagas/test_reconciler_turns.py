"""When a saga has its turn in the operator's loop, how often, and what it waits for. In virtual time.

What is done in a turn: `test_reconciler`.
"""

from __future__ import annotations

import asyncio
from itertools import pairwise

from sagamesh.log.registers import SagaKey
from sagamesh_operator.ports import ClusterUnavailable
from support.fakes.operated import EPOCH, scenario, unbegun

KEY = SagaKey("shop", "a")


async def distributed(on, name="a"):
    """A saga that stands, and of which all is said."""
    on.cluster.apply(name)
    await asyncio.sleep(0.4)
    assert on.cluster.condition(name, "Distributed") == ("True", "Distributed")


def log_lost(on):
    on.streams.api("STREAM.DELETE.SAGA_shop_a")


# -- turns


@scenario
async def test_each_turn_is_counted_by_how_it_ended_and_how_long_it_took(on):
    await distributed(on)
    await on.operator._look(repair=True)
    await asyncio.sleep(0.1)
    assert (on.turns("done"), on.turns("again")) == (2, 0), "one in which there was nothing to do, too"
    on.cluster.away = True
    on.cluster.apply("b")
    await asyncio.sleep(0.1)
    assert (on.turns("done"), on.turns("again")) == (2, 1)
    assert on.sample("reconcile_duration_seconds_count") == 3
    assert 0 < on.sample("reconcile_duration_seconds_sum") < 60, "of a real clock, this time"
    assert "WARNING shop/b: the cluster is away" in on.log


@scenario
async def test_eight_sagas_have_their_turn_at_once_and_the_others_wait(on):
    say, held, under_way = on.cluster.apply_status, asyncio.Event(), []

    async def slow(wanted, status):
        under_way.append(wanted.key)
        await held.wait()
        return await say(wanted, status)

    on.cluster.apply_status = slow
    for n in range(9):
        on.cluster.apply(f"s{n}")
    await asyncio.sleep(0.4)
    assert (len(under_way), on.sample("queue_length")) == (8, 9)
    held.set()
    await asyncio.sleep(0.4)
    assert (len(under_way), on.sample("queue_length")) == (9, 0)


@scenario
async def test_turns_that_do_not_suffice_come_ever_more_seldom_until_one_does(on):
    tries = []

    async def away(*_):
        tries.append(asyncio.get_running_loop().time())
        raise ClusterUnavailable("not now")

    def gaps():
        return [after - before for before, after in pairwise(tries)]

    say, on.cluster.apply_status = on.cluster.apply_status, away
    on.cluster.apply("a")
    await asyncio.sleep(150)
    longest = [1, 2, 4, 8, 16, 30, 30]
    assert [most / 2 <= gap <= most for gap, most in zip(gaps(), longest, strict=False)] == [True] * len(longest)
    on.cluster.apply_status = say
    await asyncio.sleep(30)
    tries.clear()
    on.cluster.apply_status = away
    on.cluster.apply("a", parkAfter="1m")
    await asyncio.sleep(1.1)
    assert 0.5 <= gaps()[0] <= 1


# -- looks at everything


@scenario
async def test_every_tenth_look_distributes_all_again(on):
    """One look a minute, and the first at once."""
    await distributed(on)
    log_lost(on)
    await asyncio.sleep(539)
    assert not on.stands("a")
    await asyncio.sleep(1.5)
    assert on.stands("a")


@unbegun
async def test_what_cannot_be_listed_is_listed_two_seconds_later(on):
    on.cluster.away = True
    on.begin()
    await asyncio.sleep(1)
    on.cluster.away = False
    await asyncio.sleep(0.9)
    assert not on.operator.synced.is_set()
    await asyncio.sleep(0.2)
    assert on.operator.synced.is_set()
    assert "WARNING not everything can be listed: the cluster is away" in on.log


@unbegun
async def test_what_nobody_tells_and_only_nats_still_holds_is_retired(on):
    running = on.begin()
    await distributed(on)
    running.cancel()
    on.cluster.watched = None
    on.cluster.delete("a")
    on.recruit()
    on.begin()
    await asyncio.sleep(0.4)
    assert not on.stands("a")


# -- the connection to NATS


@unbegun
async def test_that_nats_is_away_is_not_the_first_thing_said_of_every_saga(on):
    on.js.away = True
    on.cluster.apply("a")
    on.begin(connected=False)
    await asyncio.sleep(1.9)
    assert on.cluster.patches == 0
    on.js.away = False
    on.operator.connected()
    await asyncio.sleep(0.05)
    assert on.cluster.condition("a", "Distributed") == ("True", "Distributed")
    assert [note.reason for note in on.cluster.events] == ["SidecarsMissing"]


@unbegun
async def test_but_after_two_seconds_it_is_said(on):
    on.js.away = True
    on.cluster.apply("a")
    on.begin(connected=False)
    await asyncio.sleep(2.1)
    assert on.cluster.condition("a", "Distributed") == ("Unknown", "NatsUnavailable")


@scenario
async def test_a_connection_that_is_lost_for_two_seconds_is_told_and_what_returns_is_found_without_a_word(on):
    await distributed(on)
    on.js.away = True
    on.operator.disconnected()
    await asyncio.sleep(1.9)
    assert on.cluster.condition("a", "Distributed") == ("True", "Distributed"), "the next client takes less"
    await asyncio.sleep(0.2)
    assert on.cluster.condition("a", "Distributed") == ("Unknown", "NatsUnavailable")
    log_lost(on)
    on.js.away = False
    await asyncio.sleep(30)
    assert on.cluster.condition("a", "Distributed") == ("True", "Distributed")
    assert on.stands("a")


@scenario
async def test_a_new_connection_has_all_distributed_again_at_once(on):
    await distributed(on)
    log_lost(on)
    on.operator.connected()
    await asyncio.sleep(0.1)
    assert on.stands("a")


@unbegun
async def test_an_operator_that_comes_while_nats_is_away_says_what_stood_before(on):
    running = on.begin()
    await distributed(on)
    running.cancel()
    revision = on.status("a")["activeRevision"]
    on.js.away = True
    on.recruit()
    on.begin(connected=False)
    await asyncio.sleep(5)
    assert on.cluster.condition("a", "Distributed") == ("Unknown", "NatsUnavailable")
    assert on.status("a")["activeRevision"] == revision


# -- sidecars


@scenario
async def test_sidecars_that_tell_of_themselves_together_make_one_turn_that_distributes_nothing(on):
    await distributed(on)
    turns, asked, revision = on.turns("done"), len(on.js.asked), on.revision("a")
    for pod in range(5):
        on.beat("orders", str(pod), holds={"a": (revision,)})
        on.beat("payments", str(pod), holds={"a": (revision,)})
    await asyncio.sleep(0.04)
    assert on.turns("done") == turns
    await asyncio.sleep(0.02)
    assert on.turns("done") == turns + 1
    assert on.cluster.condition("a", "Ready") == ("True", "Ready")
    assert len(on.js.asked) == asked


@scenario
async def test_a_sidecar_that_falls_silent_counts_no_more_after_ninety_seconds(on):
    await distributed(on)
    revision = on.revision("a")
    await asyncio.sleep(0.6)
    for participant in ("orders", "payments"):
        on.beat(participant, holds={"a": (revision,)})
    await asyncio.sleep(89)
    assert on.cluster.condition("a", "Ready") == ("True", "Ready")
    await asyncio.sleep(5.5)
    assert on.cluster.condition("a", "Ready") == ("False", "SidecarsMissing")


@scenario
async def test_who_told_of_itself_before_the_connection_counts(on):
    await distributed(on)
    for participant in ("orders", "payments"):
        on.beat(participant, holds={"a": (on.revision("a"),)}, heard=False)
    on.operator.connected()
    await asyncio.sleep(0.2)
    assert on.cluster.condition("a", "Ready") == ("True", "Ready")


@unbegun
async def test_heartbeats_that_cannot_be_read_are_read_a_second_later(on):
    on.begin()
    await distributed(on)
    on.js.away = True
    on.operator.connected()
    await asyncio.sleep(0.5)
    on.js.away = False
    on.beat("orders", heard=False)
    await asyncio.sleep(0.4)
    assert on.operator.fleet.of("shop", "orders") == ()
    await asyncio.sleep(0.2)
    assert len(on.operator.fleet.of("shop", "orders")) == 1
    assert on.log.count("WARNING the sidecars' heartbeats cannot be read: NATS is away") == 1


async def _stays_until_it_is_known_who_starts_it(on):
    await asyncio.sleep(10)
    assert on.stands("a")
    assert "WARNING shop/a: who starts the saga is not known yet" in on.log
    on.operator.connected()
    await asyncio.sleep(30)
    assert on.stands("a"), "now it is, and somebody does"
    on.beat("orders")
    await asyncio.sleep(0.1)
    assert not on.stands("a")


@unbegun
async def test_a_new_operator_retires_nothing_before_it_knows_who_starts_it(on):
    running = on.begin()
    await distributed(on)
    on.beat("orders", starts={"a": on.revision("a")})
    running.cancel()
    on.cluster.delete("a")
    on.recruit()
    on.begin(connected=False)
    await _stays_until_it_is_known_who_starts_it(on)


@scenario
async def test_nor_does_one_that_has_lost_its_connection(on):
    await distributed(on)
    on.operator.disconnected()
    on.beat("orders", heard=False, starts={"a": on.revision("a")})
    on.cluster.delete("a")
    await _stays_until_it_is_known_who_starts_it(on)


# -- the watch


@scenario
async def test_the_watch_owes_nothing_of_what_it_has_told(on):
    on.stopped = EPOCH
    await distributed(on)
    await distributed(on, "b")
    on.cluster.delete("b")
    await on.operator._look(repair=False)
    assert on.operator.watching.behind(EPOCH + 100) == 0


@scenario
async def test_the_very_first_version_is_seen(on):
    on.cluster.version = 0
    await distributed(on)
