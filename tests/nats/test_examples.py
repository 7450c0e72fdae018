"""The examples with their own files, through the code of `sagamesh dev`: what comes out for each kind of order."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from sagamesh_cli.dev import Bench, Options, load, participants_of, read, running
from sagamesh_cli.services import Service, books, example
from support.stage import DECLINED, ORDERS, run
from support.web import Answer, ask

CREDIT, MEALS = "01-customers-and-orders", "02-create-order"


class Shop:
    """An example that runs."""

    def __init__(self, name: str, bench: Bench, directory: Path) -> None:
        self.name = name
        self.directory = directory
        self.saga = bench.sagas[0]
        self.apps = bench.options.apps
        self.api = bench.urls[self.saga.start.participant].api

    async def order(self, key: str, wait: str = "20s", **order: Any) -> dict[str, Any]:
        """Place an order and wait for its end: the instance, as the API shows it."""
        answer = await self.post(key, ORDERS[self.name] | {"orderId": key} | order, wait)
        assert answer.status == 202, answer
        instance: dict[str, Any] = answer.body["instances"][0]["instance"]
        assert instance["state"] in ("completed", "compensated"), instance
        return instance

    async def post(self, key: str, data: Any, wait: str = "") -> Answer:
        event = {"specversion": "1.0", "id": key, "source": "/test", "type": self.saga.start.event, "data": data}
        query = f"?wait={wait}" if wait else ""
        return await ask("POST", f"{self.api}/v1/events{query}", event, "application/cloudevents+json")

    async def state(self, service: str) -> dict[str, Any]:
        """The tables of a service, as it shows them itself."""
        tables: dict[str, Any] = (await ask("GET", self.apps[service])).body
        return tables

    def discrepancies(self) -> list[str]:
        return books(example(self.name))(self.directory)


@contextlib.asynccontextmanager
async def shop(name: str, directory: Path) -> AsyncIterator[Shop]:
    file = str(example(name) / "saga.yaml")
    async with contextlib.AsyncExitStack() as stack:
        apps = {one: Service(example(name), one, directory) for one in participants_of(read([file]))}
        for app in apps.values():
            stack.push_async_callback(app.stop)
        urls = await asyncio.gather(*(app.start() for app in apps.values()))
        options = Options(files=[file], apps=dict(zip(apps, urls, strict=True)), state=directory)
        bench = await stack.enter_async_context(running(options, load(options), lambda *_: None))
        yield Shop(name, bench, directory)


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


def test_f21_meals(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with shop(MEALS, tmp_path) as at:
            fine, jammed = await asyncio.gather(at.order("fine"), at.order("jammed", printerJams=2))
            for instance in (fine, jammed):
                assert (instance["state"], instance["outcome"], instance["cause"]) == ("completed", "committed", None)
                assert set(steps(instance).values()) == {"done"}
            attempts = {step["name"]: step["attempts"] for step in jammed["steps"]}
            assert attempts == dict.fromkeys(MEAL_STEPS, 1) | {"confirm-ticket": 3}, "the printer jammed twice"

            kinds = REFUSED_MEALS.items()
            ended = await asyncio.gather(*(at.order(key, **order) for key, (order, _, _) in kinds))
            for instance, (key, (_, why, done)) in zip(ended, kinds, strict=True):
                assert (instance["id"], instance["state"], instance["outcome"]) == (key, "compensated", "aborted")
                assert reason(instance) == why
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

    run(scenario())


def test_an_order_that_no_service_would_take(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with shop(MEALS, tmp_path) as at:
            answer = await at.post("bare", {"orderId": "bare"}, wait="20s")
            instance = answer.body["instances"][0]["instance"]
            assert instance["state"] == "compensated"
            missing = "consumerId, restaurantId, dishes, total, card"
            assert reason(instance) == f"create-order: INVALID: missing, or of the wrong type: {missing}"
            assert (await at.state("orders"))["orders"] == {}

            assert (await at.post("keyless", {})).status == 422, "no orderId, no instance"
            assert at.discrepancies() == []

    run(scenario())


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
