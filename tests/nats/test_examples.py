"""The examples with their own files, through the code of `sagamesh dev`: what comes out for each kind of order.

Transfers have a test of their own, `test_transfers`.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from sagamesh_cli.local.example_services import ExampleService, books, example
from sagamesh_cli.local.mesh import LocalMesh, MeshOptions, participants_of, read_sagas, running
from support.processes.shared import PlayOn, shared
from support.processes.stage import DECLINED, ORDERS, run
from support.processes.web import Answer, ask

CREDIT, MEALS, TRIPS = "01-customers-and-orders", "02-create-order", "03-trip-booking"


class Shop:
    """An example that runs."""

    def __init__(self, name: str, mesh: LocalMesh, services: dict[str, ExampleService], directory: Path) -> None:
        self.name = name
        self.services = services
        self.directory = directory
        self.saga = mesh.sagas[0]
        self.api = mesh.urls[self.saga.start.participant].api

    async def order(self, key: str, wait: str = "20s", **order: Any) -> dict[str, Any]:
        """Place an order and wait for its end: the instance, as the API shows it."""
        answer = await self.post(key, self.data(key, **order), wait)
        assert answer.status == 202, answer
        instance: dict[str, Any] = answer.body["instances"][0]["instance"]
        assert instance["state"] in ("completed", "compensated"), instance
        return instance

    def data(self, key: str, **order: Any) -> dict[str, Any]:
        """Of a plain order with these changes; what is None is not there."""
        name = self.saga.start.key.removeprefix("event.data.")
        return {field: value for field, value in (ORDERS[self.name] | {name: key} | order).items() if value is not None}

    async def post(self, key: str, data: Any, wait: str = "") -> Answer:
        event = {"specversion": "1.0", "id": key, "source": "/test", "type": self.saga.start.event, "data": data}
        query = f"?wait={wait}" if wait else ""
        return await ask("POST", f"{self.api}/v1/events{query}", event, "application/cloudevents+json")

    async def ended(self, key: str) -> dict[str, Any]:
        """An instance that was started before, at its end."""
        instance: dict[str, Any] = (await ask("GET", f"{self.url(key)}?wait=20s")).body
        assert instance["state"] in ("completed", "compensated"), instance
        return instance

    def url(self, key: str) -> str:
        return f"{self.api}/v1/sagas/{self.saga.name}/{key}"

    async def state(self, service: str) -> dict[str, Any]:
        """The tables of a service, as it shows them itself."""
        tables: dict[str, Any] = (await ask("GET", self.services[service].url)).body
        return tables

    def discrepancies(self) -> list[str]:
        return books(example(self.name))(self.directory)


@contextlib.asynccontextmanager
async def shop(
    name: str, directory: Path, file: Path | None = None, faults: dict[str, tuple[str, ...]] | None = None
) -> AsyncIterator[Shop]:
    """`file`: another saga over the example's services. `faults`: more options of some of them."""
    path = str(file or example(name) / "saga.yaml")
    sagas = read_sagas([path])
    async with contextlib.AsyncExitStack() as stack:
        services = {one: ExampleService(example(name), one, directory) for one in participants_of(sagas)}
        for service in services.values():
            stack.push_async_callback(service.stop)
        await asyncio.gather(*(service.start(*(faults or {}).get(one, ())) for one, service in services.items()))
        apps = {one: service.url for one, service in services.items()}
        options = MeshOptions(files=[path], apps=apps, state=directory)
        mesh = await stack.enter_async_context(running(options, sagas, lambda *_: None))
        yield Shop(name, mesh, services, directory)


def steps(instance: dict[str, Any]) -> dict[str, str]:
    return {step["name"]: step["state"] for step in instance["steps"]}


def reason(instance: dict[str, Any]) -> str | None:
    return instance["cause"] and f"{instance['cause']['step']}: {instance['cause']['reason']}"


REFUSED_MEALS: dict[str, tuple[dict[str, Any], str, int]] = {
    "nobody": ({"consumerId": "mallory"}, "verify-consumer: UNKNOWN_CONSUMER", 1),
    "nowhere": ({"restaurantId": "nirvana"}, "create-ticket: UNKNOWN_RESTAURANT", 2),
    "closed": ({"restaurantId": "ratskeller"}, "create-ticket: KITCHEN_CLOSED", 2),
    "off-the-menu": ({"dishes": ["dal", "schnitzel"]}, "create-ticket: NOT_ON_THE_MENU", 2),
    "declined": (DECLINED, "authorize-card: CARD_DECLINED", 3),
}
"""Order -> why its saga is aborted, and how many steps were done before."""
MEAL_STEPS = ("create-order", "verify-consumer", "create-ticket", "authorize-card", "confirm-ticket", "approve-order")


def after(done: int) -> dict[str, str]:
    """The state of each step where the next one was refused: what could be undone is, the refused one failed."""
    states = {"create-order": "compensated", "verify-consumer": "done", "create-ticket": "compensated"}
    refused = {MEAL_STEPS[done]: "compensated" if MEAL_STEPS[done] == "create-ticket" else "failed"}
    return dict.fromkeys(MEAL_STEPS, "cancelled") | dict(list(states.items())[:done]) | refused


@pytest.fixture(scope="module")
def meals(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlayOn[Shop]]:
    """One shop for the tests in which nothing dies, whose orders have names of their own."""
    with shared(shop(MEALS, tmp_path_factory.mktemp("meals")), 60) as play:
        yield play


def test_f21_meals(meals: PlayOn[Shop]) -> None:
    async def scenario(at: Shop) -> None:
        fine, jammed = await asyncio.gather(at.order("fine"), at.order("jammed", printerJams=2))
        for instance in (fine, jammed):
            assert (instance["state"], instance["outcome"], instance["cause"]) == ("completed", "committed", None)
            assert set(steps(instance).values()) == {"done"}
        calls = {step["name"]: step["calls"] for step in jammed["steps"]}
        assert calls == dict.fromkeys(MEAL_STEPS, 1) | {"confirm-ticket": 3}, "the printer jammed twice"

        kinds = REFUSED_MEALS.items()
        ended = await asyncio.gather(*(at.order(key, **order) for key, (order, _, _) in kinds))
        for instance, (key, (_, why, done)) in zip(ended, kinds, strict=True):
            # F21: the saga is aborted
            assert (instance["id"], instance["state"], instance["outcome"]) == (key, "compensated", "aborted")
            # F21: with the app's own reason
            assert reason(instance) == why
            # F21: A refusal: the step ends `failed`
            # F21: what was done is undone
            assert steps(instance) == after(done), key
        orders = (await at.state("orders"))["orders"]
        assert {key: (orders[key]["state"], orders[key]["reason"]) for key in REFUSED_MEALS} == {
            key: ("REJECTED", why.partition(": ")[2]) for key, (_, why, _) in kinds
        }
        tickets = (await at.state("kitchen"))["tickets"].values()
        assert sorted((ticket["order_id"], ticket["state"]) for ticket in tickets) == [
            ("declined", "CANCELLED"),
            ("fine", "CONFIRMED"),
            ("jammed", "CONFIRMED"),
        ]
        charged = (await at.state("accounting"))["authorizations"].values()
        assert sorted(one["order_id"] for one in charged) == ["fine", "jammed"]
        assert at.discrepancies() == []

    meals(scenario)


def test_an_order_that_no_service_would_take(meals: PlayOn[Shop]) -> None:
    async def scenario(at: Shop) -> None:
        before = (await at.state("orders"))["orders"]
        answer = await at.post("bare", {"orderId": "bare"}, wait="20s")
        instance = answer.body["instances"][0]["instance"]
        assert instance["state"] == "compensated"
        missing = "consumerId, restaurantId, dishes, total, card"
        assert reason(instance) == f"create-order: INVALID: missing, or of the wrong type: {missing}"
        assert (await at.state("orders"))["orders"] == before, "it came into nobody's books"

        assert (await at.post("keyless", {})).status == 422, "no orderId, no instance"
        assert at.discrepancies() == []

    meals(scenario)


def test_credit(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with shop(CREDIT, tmp_path) as at:
            assert (await at.order("fine"))["state"] == "completed"
            nobody, free, greedy = await asyncio.gather(
                at.order("nobody", customerId="mallory"), at.order("free", total=0), at.order("greedy", total=991)
            )
            assert reason(nobody) == "reserve-credit: UNKNOWN_CUSTOMER"
            assert reason(free) == "create-order: INVALID: the total must be from 1 to 1000000"
            assert reason(greedy) == "reserve-credit: INSUFFICIENT_CREDIT"
            assert steps(nobody) == {
                "create-order": "compensated",
                "reserve-credit": "compensated",
                "approve-order": "cancelled",
            }

            keys = [f"bob-{n}" for n in range(12)]  # who may owe 100
            ended = await asyncio.gather(*(at.order(key, customerId="bob", total=30) for key in keys))
            states = [instance["state"] for instance in ended]
            assert (states.count("completed"), states.count("compensated")) == (3, 9)
            orders = (await at.state("orders"))["orders"].values()
            approved = [one["total"] for one in orders if one["customer"] == "bob" and one["state"] == "APPROVED"]
            assert sum(approved) == 90
            assert at.discrepancies() == []

    run(scenario())


REFUSED_TRIPS: dict[str, tuple[dict[str, Any], str]] = {
    "no-seat": ({"flight": "SM-103"}, "book-flight: FULLY_BOOKED"),
    "no-room": ({"hotel": "full"}, "book-hotel: FULLY_BOOKED"),
    "no-car": ({"car": "none"}, "book-car: FULLY_BOOKED"),
    "declined": (DECLINED, "pay: CARD_DECLINED"),
    "expired": ({"flight": "SM-102"}, "confirm-flight: FARE_EXPIRED"),
}
PROVIDERS = ("flights", "hotels", "cars")
BOOKINGS = ("book-flight", "book-hotel", "book-car")
CONFIRMATIONS = ("confirm-flight", "confirm-hotel", "confirm-car")
TRIP_STEPS = ("create-trip", *BOOKINGS, "pay", *CONFIRMATIONS, "complete-trip")


def assert_undone_in_order(instance: dict[str, Any], *turns: Collection[str]) -> None:
    """Every step of a turn was undone before any of the next one."""
    undone = [entry["step"] for entry in instance["timeline"] if entry["register"] == "compensation"]
    for earlier, later in pairwise(turns):
        assert max(map(undone.index, earlier)) < min(map(undone.index, later)), undone


async def bookings(at: Shop, key: str) -> dict[str, list[str]]:
    """What a trip has with each provider: the state of each booking."""
    held = {name: (await at.state(name))["bookings"].values() for name in PROVIDERS}
    return {name: [one["state"] for one in found if one["trip"] == key] for name, found in held.items()}


def variant(directory: Path, **changes: str) -> Path:
    """The trip's saga with other values of some fields, or more of them."""
    text = (example(TRIPS) / "saga.yaml").read_text()
    for field, value in changes.items():
        text, count = re.subn(rf"(?m)^( +){field}: \w+", rf"\g<1>{field}: {value}", text)
        if not count:
            text = text.replace("spec:\n", f"spec:\n  {field}: {value}\n")
    file = directory / "variant.yaml"
    file.write_text(text)
    return file


def test_trips(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with shop(TRIPS, tmp_path) as at:
            fine, walker = await asyncio.gather(at.order("fine"), at.order("walker", car=None))
            assert steps(fine) == dict.fromkeys(TRIP_STEPS, "done")
            assert steps(walker) == steps(fine) | {"book-car": "skipped", "confirm-car": "skipped"}
            assert await bookings(at, "walker") == {"flights": ["CONFIRMED"], "hotels": ["CONFIRMED"], "cars": []}
            paid = (await at.state("payments"))["payments"].values()
            assert {one["trip"]: one["amount"] for one in paid} == {"fine": 450, "walker": 420}

            kinds = REFUSED_TRIPS.items()
            ended = await asyncio.gather(*(at.order(key, **trip) for key, (trip, _) in kinds))
            for instance, (key, (_, why)) in zip(ended, kinds, strict=True):
                assert (instance["state"], instance["outcome"], reason(instance)) == ("compensated", "aborted", why), (
                    key
                )
                assert_undone_in_order(instance, ["pay"], BOOKINGS, ["create-trip"])
                left = [state for states in (await bookings(at, key)).values() for state in states]
                assert set(left) <= {"CANCELLED"}, key
            for key in ("declined", "expired"):
                assert await bookings(at, key) == {name: ["CANCELLED"] for name in PROVIDERS}, "all had been booked"
            expired = dict.fromkeys(TRIP_STEPS[:5], "compensated") | dict.fromkeys(TRIP_STEPS[5:], "cancelled")
            assert steps(ended[-1]) == expired | {"confirm-flight": "failed"}
            trips = (await at.state("trips"))["trips"]
            assert {key: (trips[key]["state"], trips[key]["reason"]) for key in REFUSED_TRIPS} == {
                key: ("REJECTED", why.partition(": ")[2]) for key, (_, why) in kinds
            }

            guests = await asyncio.gather(*(at.order(f"guest-{n}", hotel="inn") for n in range(8)))
            assert Counter(one["state"] for one in guests) == {"completed": 3, "compensated": 5}, "it has three rooms"
            assert at.discrepancies() == []

    run(scenario())


def test_trips_without_a_pivot_while_every_service_dies_once(tmp_path: Path) -> None:
    """Each after its first commit, before it could answer."""

    async def revive(service: ExampleService) -> None:
        assert service.process is not None
        assert await service.process.wait() == 1
        await service.start()

    async def scenario() -> None:
        file = example(TRIPS) / "saga-without-pivot.yaml"
        faults = dict.fromkeys(("trips", *PROVIDERS, "payments"), ("--crash-after-commit", "1"))
        async with shop(TRIPS, tmp_path, file, faults) as at:
            assert at.saga.pivot is None
            fine, expired, declined, *_ = await asyncio.gather(
                at.order("fine"),
                at.order("expired", flight="SM-102"),
                at.order("declined", **DECLINED),
                *map(revive, at.services.values()),
            )
            assert set(steps(fine).values()) == {"done"}
            assert reason(declined) == "pay: CARD_DECLINED"
            assert reason(expired) == "confirm-flight: FARE_EXPIRED"
            assert steps(expired) == dict.fromkeys(TRIP_STEPS, "compensated") | {"complete-trip": "cancelled"}
            confirmed = ("confirm-hotel", "confirm-car")
            assert_undone_in_order(expired, ["confirm-flight"], confirmed, ["pay"], BOOKINGS, ["create-trip"])
            paid = (await at.state("payments"))["payments"].values()
            assert {one["trip"]: one["state"] for one in paid} == {"fine": "PAID", "expired": "REFUNDED"}
            assert at.discrepancies() == []

    run(scenario())


def test_undone_all_at_once_a_hotel_that_is_gone_holds_up_nobody_else(tmp_path: Path) -> None:
    async def scenario() -> None:
        file = variant(tmp_path, compensationOrder="parallel")
        async with shop(TRIPS, tmp_path, file, {"hotels": ("--crash-after-commit", "1")}) as at:
            assert (await at.post("lost", at.data("lost"))).status == 202
            hotels = at.services["hotels"]
            assert hotels.process is not None
            assert await hotels.process.wait() == 1, "the room is booked, and nobody was told"
            assert (await ask("POST", f"{at.url('lost')}/cancel", {"reason": "stays at home"})).status == 200
            while (await at.state("trips"))["trips"]["lost"]["state"] != "REJECTED":
                await asyncio.sleep(0.02)
            await hotels.start()
            assert_undone_in_order(await at.ended("lost"), ["create-trip"], ["book-hotel"])
            assert (await bookings(at, "lost"))["hotels"] == ["CANCELLED"]
            assert (await at.state("trips"))["trips"]["lost"]["reason"] == "stays at home"
            assert at.discrepancies() == []

    run(scenario())


def test_a_hotel_that_books_but_never_says_so(tmp_path: Path) -> None:
    async def scenario() -> None:
        file = variant(tmp_path, timeout="300ms", within="600ms")
        async with shop(TRIPS, tmp_path, file, {"hotels": ("--hang-every", "1")}) as at:
            instance = await at.order("mute")
            assert (instance["state"], instance["cause"]["step"]) == ("compensated", "book-hotel")
            [hotel] = [step for step in instance["steps"] if step["name"] == "book-hotel"]
            assert hotel["calls"] > 2  # and one of them undoes it
            assert (await bookings(at, "mute"))["hotels"] == ["CANCELLED"], "booked once, and given up"
            assert at.discrepancies() == []

    run(scenario())
