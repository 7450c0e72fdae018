"""Wrong versions of a sidecar's deliveries: edits of their source, applied in memory."""

from __future__ import annotations

from typing import NamedTuple

from sagamesh.protocol import endings
from sagamesh_sidecar.deliveries import availability, executor, parking, relay, retry_budget, subscriptions, tally
from support.deliveries.endings import (
    Ending,
    absence,
    busy,
    failing,
    giving_back,
    interrupted,
    late_word,
    leaving_late,
    long_call,
    missing_rules,
    nobody,
    nothing,
    one_path_closed,
    overloaded,
    pausing,
    standing_still,
    trial,
)
from support.fakes.edited import Edit


class DeliveryMutant(NamedTuple):
    """`shape`, `ending`: where it is bound to show. Without an ending: in the storm, or at rest after it."""

    name: str
    shape: str
    ending: Ending | None
    edits: tuple[Edit, ...]


STRAIGHT, TOGETHER, FAN = "straight 3", "two steps of one participant", "fan of 20"
HASTY = """\
        if closed is not None and not waits:
            self.call(path)
        return closed.reason if closed is not None and waits else ""
"""
LEASE = "Result(given, lease_lost=not self._is_ours(hand))"

MUTANTS = (
    DeliveryMutant("a lost lease starts calls", STRAIGHT, standing_still, ((relay, LEASE, "Result(given)"),)),
    DeliveryMutant(
        "a lost lease is taken back",
        STRAIGHT,
        interrupted,
        ((relay, "and self._is_ours(hand) and await hand.lease", "and await hand.lease"),),
    ),
    DeliveryMutant(
        "what is another's is given back",
        STRAIGHT,
        standing_still,
        (
            (
                relay,
                "            if self._is_ours(hand):\n                held",
                "            if True:\n                held",
            ),
        ),
    ),
    DeliveryMutant(
        "what is another's is given back at shutdown",
        STRAIGHT,
        leaving_late,
        (
            (
                relay,
                "            if self._is_ours(hand):\n                await",
                "            if True:\n                await",
            ),
        ),
    ),
    DeliveryMutant(
        "a lease counts from the reply",
        STRAIGHT,
        late_word,
        ((relay, "            hand.renewed = asked", "            hand.renewed = self._now()"),),
    ),
    DeliveryMutant(
        "a lease is renewed whatever the log says",
        STRAIGHT,
        None,
        ((relay, "and await hand.lease.in_progress():", "and (await hand.lease.in_progress() or True):"),),
    ),
    DeliveryMutant(
        "what was settled is renewed",
        STRAIGHT,
        pausing,
        ((relay, "if hand in self._in_hand and self._is_ours", "if self._is_ours"),),
    ),
    DeliveryMutant(
        "no lease is renewed",
        STRAIGHT,
        long_call,
        ((relay, "if hand in self._in_hand and self._is_ours(hand) and await hand.lease.in_progress():", "if False:"),),
    ),
    DeliveryMutant(
        "a lease is renewed too late",
        STRAIGHT,
        long_call,
        ((relay, "asyncio.sleep(self.ack_wait / 3)", "asyncio.sleep(self.ack_wait * 2)"),),
    ),
    DeliveryMutant(
        "an old delivery is not late",
        STRAIGHT,
        nobody,
        (
            (
                relay,
                "delivery.delivered > 1 or self.executor.log.now() - delivery.register.time > LATE",
                "delivery.delivered > 1",
            ),
        ),
    ),
    DeliveryMutant("a redelivery is not late", STRAIGHT, None, ((relay, "late=delivery.delivered > 1 or", "late="),)),
    DeliveryMutant(
        "what is given back is not let go",
        STRAIGHT,
        giving_back,
        ((relay, "                hand.task.cancel()", "                pass"),),
    ),
    DeliveryMutant(
        "what is let go is not given back",
        STRAIGHT,
        giving_back,
        ((relay, "                await hand.lease.nak(0.0)", "                pass"),),
    ),
    DeliveryMutant(
        "what is given back goes on meanwhile",
        STRAIGHT,
        giving_back,
        (
            (
                relay,
                "            if hand.task is not None:\n                hand.task.cancel()\n",
                "            pass\n",
            ),
            (
                relay,
                "                await hand.lease.nak(0.0)",
                "                await hand.lease.nak(0.0)\n                hand.task.cancel()",
            ),
        ),
    ),
    DeliveryMutant(
        "a drain takes more",
        STRAIGHT,
        giving_back,
        ((subscriptions, "(subscription.close() for", "(asyncio.sleep(1) for"),),
    ),
    DeliveryMutant(
        "a drain gives nothing back",
        STRAIGHT,
        giving_back,
        ((subscriptions, "        await self._relay.give_back()\n", ""),),
    ),
    DeliveryMutant(
        "missing rules never park",
        STRAIGHT,
        missing_rules,
        (
            (
                relay,
                '        self._note(delivery, "", missing, newest',
                '        delivery or self._note(delivery, "", missing, newest',
            ),
        ),
    ),
    DeliveryMutant(
        "missing rules park by the default",
        STRAIGHT,
        missing_rules,
        ((relay, "newest.local.park_after if newest else PARK_AFTER", "PARK_AFTER"),),
    ),
    DeliveryMutant(
        "missing rules stay parked",
        STRAIGHT,
        missing_rules,
        (
            (relay, '        self.parking.clear((message.subject, ""))\n', ""),
            (parking, "FORGET = 300.0", "FORGET = 3e9"),
        ),
    ),
    DeliveryMutant(
        "what ended stays parked",
        STRAIGHT,
        absence,
        (
            (relay, "            self.parking.clear(key)\n", "            pass\n"),
            (parking, "FORGET = 300.0", "FORGET = 3e9"),
        ),
    ),
    DeliveryMutant(
        "troubles are not forgotten",
        STRAIGHT,
        None,
        ((relay, "            self.parking.sweep()\n", ""),),
    ),
    DeliveryMutant(
        "failures are counted while the app is away",
        STRAIGHT,
        absence,
        ((relay, "called=not result.waits", "called=True"),),
    ),
    DeliveryMutant(
        "failures are not handed on",
        STRAIGHT,
        failing,
        ((relay, "            failures=self.parking.failures(key),\n", ""),),
    ),
    DeliveryMutant(
        "failures are not counted",
        STRAIGHT,
        failing,
        ((parking, "(before.failures if before else 0) + called", "int(called)"),),
    ),
    DeliveryMutant(
        "the parked gauge falls with each step",
        TOGETHER,
        absence,
        ((parking, "if before != now:", "if before != now or change < 0:"),),
    ),
    DeliveryMutant(
        "the parked gauge does not fall",
        STRAIGHT,
        absence,
        ((parking, "            self._count(noted.instance, -1)", "            pass"),),
    ),
    DeliveryMutant(
        "an end is counted by whoever reads it",
        STRAIGHT,
        None,
        ((endings, "if last is None or not known.mine(last.name):", "if last is None:"),),
    ),
    DeliveryMutant(
        "an end after the pivot is not counted",
        "pivot first",
        nothing,
        ((endings, "if only and known.mine(only.end)", "if False and known.mine(only.end)"),),
    ),
    DeliveryMutant(
        "the end of another's only sink is counted",
        "pivot in the middle",
        None,
        ((endings, "if only and known.mine(only.end)", "if only and only.end in known.registers"),),
    ),
    DeliveryMutant(
        "an end is not counted",
        STRAIGHT,
        nothing,
        ((relay, "                self.executor.count_end(rules, known, step)\n", ""),),
    ),
    DeliveryMutant(
        "an attempt takes the trial",
        TOGETHER,
        trial,
        ((availability, '        return closed.reason if closed is not None and waits else ""', HASTY),),
    ),
    DeliveryMutant(
        "a call leaves the trial to others",
        TOGETHER,
        overloaded,
        ((availability, "            self._closed[path] = Closed(self._now(), closed.reason)", "            pass"),),
    ),
    DeliveryMutant(
        "a 503 closes nothing",
        TOGETHER,
        overloaded,
        ((availability, "        if is_away_there(answer):\n", "        if False:\n"),),
    ),
    DeliveryMutant(
        "a 503 closes every path",
        TOGETHER,
        one_path_closed,
        ((availability, "self._closed.get(path)", "next(iter(self._closed.values()), None)"),),
    ),
    DeliveryMutant(
        "closed paths wait for open ones",
        FAN,
        busy,
        ((availability, "self.interval * len(self._closed)", "self.interval * 20"),),
    ),
    DeliveryMutant(
        "who said 503 is not asked again",
        STRAIGHT,
        busy,
        ((availability, "closed is not None and self._now() - closed.since < self", "closed is not None or 0 < self"),),
    ),
    DeliveryMutant(
        "who is away is not looked for",
        STRAIGHT,
        absence,
        (
            (
                availability,
                "            if await self.app.reachable():\n                self._arrived()",
                "            if await self.app.reachable():\n                pass",
            ),
        ),
    ),
    DeliveryMutant(
        "a retry waits for nothing",
        STRAIGHT,
        failing,
        ((retry_budget, "self._uniform(0.0, max(nak.delay, stretched))", "0.0"),),
    ),
    DeliveryMutant(
        "what comes again is not forgotten by the budget",
        STRAIGHT,
        None,
        ((retry_budget, "        waiting = self._waiting.pop(subject, None)", "        waiting = None"),),
    ),
    DeliveryMutant(
        "calls are kept for ever",
        STRAIGHT,
        None,
        (
            (tally, "if count is not None and (ended or not count.made) and not count.under_way:", "if False:"),
            (relay, "            self.tally.sweep()\n", ""),
        ),
    ),
    DeliveryMutant(
        "the same attempt id again",
        STRAIGHT,
        None,
        ((executor, 'return f"{self._process}-{next(self._numbers)}"', "return self._process"),),
    ),
    DeliveryMutant(
        "the number of calls instead of deliveries",
        STRAIGHT,
        None,
        ((executor, "delivered=work.delivered, trace", "delivered=work.count.made, trace"),),
    ),
    DeliveryMutant(
        "no guard where none is proven",
        STRAIGHT,
        None,
        ((executor, "        if put.while_started:\n", "        if False:\n"),),
    ),
)
