"""Whose turn it is: nobody's twice at a time, nobody's forgotten."""

from __future__ import annotations

import asyncio

from sagamesh_operator.sagas.workqueue import Workqueue, backoff
from support.fakes.mesh import scenario


async def taken(queue: Workqueue[str]) -> str:
    async with queue.turn() as key:
        return key


@scenario
async def test_each_key_once_in_order():
    queue: Workqueue[str] = Workqueue()
    for key in "abab":
        queue.add(key)
    assert [await taken(queue), await taken(queue)] == ["a", "b"]
    assert len(queue) == 0


@scenario
async def test_a_key_under_way_gets_another_turn_afterwards():
    queue: Workqueue[str] = Workqueue()
    queue.add("a")
    async with queue.turn() as key:
        queue.add("a")
        queue.add("a")
        queue.add("b")
        assert await taken(queue) == "b", "nobody else gets it meanwhile"
        assert key == "a"
    assert await taken(queue) == "a"
    assert len(queue) == 0


@scenario
async def test_a_worker_that_fails_gives_the_key_back():
    queue: Workqueue[str] = Workqueue()
    queue.add("a")
    try:
        async with queue.turn():
            raise ValueError
    except ValueError:
        queue.add("a")
    assert await taken(queue) == "a"


@scenario
async def test_of_several_delays_the_shortest_counts():
    queue: Workqueue[str] = Workqueue()
    queue.add("late", after=60.0)
    queue.add("soon", after=60.0)
    queue.add("soon", after=0.01)
    queue.add("soon", after=30.0)
    async with asyncio.timeout(5):
        assert await taken(queue) == "soon"
    assert len(queue) == 0


@scenario
async def test_now_is_sooner_than_any_delay_and_one_turn_serves_both():
    queue: Workqueue[str] = Workqueue()
    queue.add("a", after=0.02)
    queue.add("a")
    assert await taken(queue) == "a"
    queue.add("b", after=0.05)
    async with asyncio.timeout(5):
        assert await taken(queue) == "b", "and not the one that was served already"


def test_the_pause_between_turns_doubles_up_to_half_a_minute() -> None:
    for failures, longest in ((1, 1.0), (2, 2.0), (3, 4.0), (5, 16.0), (6, 30.0), (10_000, 30.0)):
        assert all(longest / 2 <= backoff(failures) <= longest for _ in range(50))
