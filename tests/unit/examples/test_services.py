"""The services of the examples keep the app's duty: same key, same answer, one effect, and no action after its undo."""

import importlib.util
import json
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest
import yaml

EXAMPLES = Path(__file__).parents[3] / "examples"
CREDIT = EXAMPLES / "01-customers-and-orders"
MEALS = EXAMPLES / "02-create-order"
TRIPS = EXAMPLES / "03-trip-booking"
MONEY = EXAMPLES / "04-money-transfer"


def load(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


participant = load("participant", EXAMPLES / "participant.py")  # first: the services import it by this name
load("bookkeeping", EXAMPLES / "bookkeeping.py")  # the same for the books
credit = load("credit_services", CREDIT / "services.py")
credit_books = load("credit_books", CREDIT / "books.py")
meals = load("meals_services", MEALS / "services.py")
meals_books = load("meals_books", MEALS / "books.py")
trips = load("trips_services", TRIPS / "services.py")
trips_books = load("trips_books", TRIPS / "books.py")
money = load("money_services", MONEY / "services.py")
money_books = load("money_books", MONEY / "books.py")
driver = load("money_transfers", MONEY / "transfers.py")


class Answer(NamedTuple):
    status: int
    body: Any


class Service:
    """A client as the sidecar is one."""

    def __init__(self, port: int) -> None:
        self.port = port

    def action(self, path: str, key: str, data: Any) -> Answer:
        return self.call("POST", path, data, f"{key}/action")

    def compensation(self, path: str, key: str, request: Any, reason: str = "") -> Answer:
        cause = {"kind": "refused", "reason": reason, "step": "some-step"}
        body = {"request": request, "result": None, "cause": cause}
        return self.call("POST", path, body, f"{key}/compensation")

    def state(self) -> Any:
        return self.call("GET", "/").body

    def call(self, method: str, path: str, body: Any = None, key: str = "") -> Answer:
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            return ask(connection, method, path, body, key)


def ask(connection: HTTPConnection, method: str, path: str, body: Any = None, key: str = "") -> Answer:
    headers = {"Content-Type": "application/json"} | ({"Idempotency-Key": f'"{key}"'} if key else {})
    connection.request(method, path, None if method == "GET" else json.dumps(body), headers)
    response = connection.getresponse()
    return Answer(response.status, json.loads(response.read()))


Serve = Callable[..., Service]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts services in threads, with `<name>.db` in `tmp_path`; the same one again is a replica."""
    running = []

    def start(served: Any, **faults: float) -> Service:
        server = participant.Server(served, str(tmp_path / f"{served.name}.db"), **faults)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        running.append((server, thread))
        return Service(server.server_port)

    yield start
    for server, thread in running:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def process(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], Service]]:
    command = [sys.executable, str(MEALS / "services.py"), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            greeting, _, port = running.stdout.readline().strip().rpartition(":")
            assert greeting == "listening on http://127.0.0.1"
            yield running, Service(int(port))
        finally:
            running.kill()


def key(order: str, step: str, saga: str = "create-order") -> str:
    return f"default/{saga}/{order}/01J0RUN/{step}"


def meal(order: str, **changes: Any) -> Any:
    plain = {
        "orderId": order,
        "consumerId": "alice",
        "restaurantId": "ajanta",
        "dishes": ["dal"],
        "total": 12,
        "card": "4242424242424242",
    }
    return plain | changes


def purchase(order: str, total: int, customer: str = "alice") -> Any:
    return {"orderId": order, "customerId": customer, "total": total}


def wish(trip: str, **changes: Any) -> Any:
    plain = {"tripId": trip, "flight": "SM-101", "hotel": "ritz", "car": "mini", "card": "4242424242424242"}
    return {name: value for name, value in (plain | changes).items() if value is not None}


def order(transfer: str, amount: int, payer: str = "north-1", payee: str = "south-1") -> Any:
    return {"transferId": transfer, "from": payer, "to": payee, "amount": amount}


# -- the fence -----------------------------------------------------------------------------------------------------


def test_an_action_twice_has_one_effect_and_the_same_answer(serve: Serve) -> None:
    kitchen = serve(meals.kitchen)
    first = kitchen.action("/tickets", key("o-1", "create-ticket"), meal("o-1"))
    assert first == (200, {"orderId": "o-1", "ticketId": 1})
    assert kitchen.action("/tickets", key("o-1", "create-ticket"), meal("o-1")) == first
    assert len(kitchen.state()["tickets"]) == 1


def test_another_run_is_another_action(serve: Serve) -> None:
    kitchen = serve(meals.kitchen)
    kitchen.action("/tickets", "default/create-order/o-1/RUN-1/create-ticket", meal("o-1"))
    kitchen.action("/tickets", "default/create-order/o-1/RUN-2/create-ticket", meal("o-1"))
    assert len(kitchen.state()["tickets"]) == 2


def test_a_refusal_is_recorded(serve: Serve, tmp_path: Path) -> None:
    customers = serve(credit.customers)
    refusal = customers.action("/credit/reserve", key("o-1", "reserve-credit"), purchase("o-1", 5000))
    assert refusal == (422, {"status": 422, "detail": "INSUFFICIENT_CREDIT"})
    execute(tmp_path / "customers.db", "UPDATE customers SET credit_limit = 9000")
    assert customers.action("/credit/reserve", key("o-1", "reserve-credit"), purchase("o-1", 5000)) == refusal
    assert customers.state()["reservations"] == {}


def test_a_refusal_takes_back_what_the_action_had_written(serve: Serve) -> None:
    hasty = participant.Participant("hasty", "CREATE TABLE IF NOT EXISTS effects (id TEXT);")

    @hasty.action("/effects")
    def act(db: sqlite3.Connection, data: Any) -> None:
        db.execute("INSERT INTO effects VALUES ('e-1')")
        raise participant.Refused("too late")

    service = serve(hasty)
    assert service.action("/effects", key("e-1", "act"), {}).status == 422
    assert service.action("/effects", key("e-1", "act"), {}).body["detail"] == "too late"
    assert service.state() == {"effects": {}}


def test_a_fault_is_not_recorded(serve: Serve, capfd: pytest.CaptureFixture[str]) -> None:
    kitchen = serve(meals.kitchen)
    order = meal("o-jam", printerJams=2)
    kitchen.action("/tickets", key("o-jam", "create-ticket"), order)
    answers = [kitchen.action("/tickets/confirm", key("o-jam", "confirm-ticket"), order) for _ in range(4)]
    assert [answer.status for answer in answers] == [500, 500, 200, 200]
    assert "the printer jammed on o-jam" in capfd.readouterr().err
    assert kitchen.state()["tickets"]["1"]["state"] == "CONFIRMED"


def test_a_compensation_undoes_its_action_once(serve: Serve) -> None:
    customers = serve(credit.customers)
    customers.action("/credit/reserve", key("o-1", "reserve-credit"), purchase("o-1", 700))
    for _ in range(2):
        undone = customers.compensation("/credit/release", key("o-1", "reserve-credit"), purchase("o-1", 700))
        assert undone == (200, None)
    assert customers.state()["reservations"] == {}


def test_a_late_duplicate_of_an_undone_action_has_no_effect(serve: Serve) -> None:
    customers = serve(credit.customers)
    first = customers.action("/credit/reserve", key("o-1", "reserve-credit"), purchase("o-1", 700))
    customers.compensation("/credit/release", key("o-1", "reserve-credit"), purchase("o-1", 700))
    assert customers.action("/credit/reserve", key("o-1", "reserve-credit"), purchase("o-1", 700)) == first
    assert customers.state()["reservations"] == {}


def test_an_action_that_comes_after_its_compensation_is_refused(serve: Serve) -> None:
    kitchen = serve(meals.kitchen)
    undone = kitchen.compensation("/tickets/cancel", key("o-1", "create-ticket"), meal("o-1"))
    assert undone == (200, None)
    for _ in range(2):
        assert kitchen.action("/tickets", key("o-1", "create-ticket"), meal("o-1")).status == 410
    assert kitchen.state()["tickets"] == {}


def test_a_compensation_may_come_without_a_request(serve: Serve) -> None:
    """The sidecar sends null where the request could not be made: then the action never was called."""
    orders = serve(credit.orders)
    assert orders.compensation("/orders/reject", key("o-1", "create-order"), None) == (200, None)


def test_a_compensation_of_a_refused_action_changes_nothing(serve: Serve) -> None:
    customers = serve(credit.customers)
    customers.action("/credit/reserve", key("o-1", "reserve-credit"), purchase("o-1", 1, customer="nobody"))
    undone = customers.compensation("/credit/release", key("o-1", "reserve-credit"), purchase("o-1", 1))
    assert undone == (200, None)
    late = customers.action("/credit/reserve", key("o-1", "reserve-credit"), purchase("o-1", 1))
    assert late.body["detail"] == "UNKNOWN_CUSTOMER"


def test_concurrent_duplicates_at_two_replicas_have_one_effect(serve: Serve) -> None:
    replicas = [serve(meals.accounting), serve(meals.accounting)]
    payment = {"orderId": "o-1", "card": "4242424242424242", "amount": 12}
    everybody = threading.Barrier(8)

    def pay(number: int) -> Answer:
        everybody.wait()
        return replicas[number % 2].action("/authorizations", key("o-1", "authorize-card"), payment)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(pay, range(8)))
    assert answers == [(200, {"orderId": "o-1", "authorizationId": 1})] * 8
    assert len(replicas[0].state()["authorizations"]) == 1


def test_an_action_and_its_compensation_at_once_leave_nothing(serve: Serve) -> None:
    kitchen = serve(meals.kitchen)
    orders = [f"o-{number}" for number in range(8)]

    def cook(order: str) -> int:
        return kitchen.action("/tickets", key(order, "create-ticket"), meal(order)).status

    def cancel(order: str) -> int:
        return kitchen.compensation("/tickets/cancel", key(order, "create-ticket"), meal(order)).status

    with ThreadPoolExecutor(16) as pool:
        cooked, cancelled = [pool.submit(cook, o) for o in orders], [pool.submit(cancel, o) for o in orders]
    assert {future.result() for future in cooked} <= {200, 410}
    assert {future.result() for future in cancelled} == {200}
    assert {ticket["state"] for ticket in kitchen.state()["tickets"].values()} <= {"CANCELLED"}


def test_concurrent_orders_never_exceed_the_limit(serve: Serve) -> None:
    customers = serve(credit.customers)

    def reserve(number: int) -> int:
        order = f"o-{number}"
        return customers.action("/credit/reserve", key(order, "reserve-credit"), purchase(order, 300)).status

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(reserve, range(6))) == [200] * 3 + [422] * 3  # alice has 1000
    assert sum(reservation["amount"] for reservation in customers.state()["reservations"].values()) == 900


# -- the server ----------------------------------------------------------------------------------------------------


def test_a_connection_serves_many_requests_errors_included(serve: Serve) -> None:
    service = serve(meals.orders)
    with closing(HTTPConnection("127.0.0.1", service.port, timeout=30)) as connection:
        assert ask(connection, "POST", "/orders", meal("o-1"), key("o-1", "create-order/action")).status == 200
        held = connection.sock
        assert ask(connection, "POST", "/orders", {}, key("o-2", "create-order/action")).status == 422
        assert ask(connection, "POST", "/orders", {}).status == 400  # no key
        assert ask(connection, "GET", "/elsewhere").status == 404
        assert ask(connection, "POST", "/elsewhere", {}, key("o-3", "create-order/compensation")).status == 404
        assert set(ask(connection, "GET", "/").body["orders"]) == {"o-1"}
        assert connection.sock is held


def test_slow_waits_before_the_answer(serve: Serve) -> None:
    orders = serve(meals.orders, slow=0.02)
    before = time.monotonic()
    assert orders.action("/orders", key("o-1", "create-order"), meal("o-1")).status == 200
    assert time.monotonic() - before >= 0.02


def test_a_call_that_hangs_was_done_all_the_same(serve: Serve, capfd: pytest.CaptureFixture[str]) -> None:
    hotels = serve(trips.hotels, hang_every=2)
    rooms = [{"trip": f"t-{n}", "offer": "ritz"} for n in (1, 2)]
    assert hotels.action("/bookings", key("t-1", "book-hotel"), rooms[0]).status == 200
    with closing(HTTPConnection("127.0.0.1", hotels.port, timeout=0.2)) as connection, pytest.raises(TimeoutError):
        ask(connection, "POST", "/bookings", rooms[1], key("t-2", "book-hotel/action"))
    assert capfd.readouterr().err == "hotels /bookings: left unanswered\n"
    again = hotels.action("/bookings", key("t-2", "book-hotel"), rooms[1])
    assert again == (200, {"trip": "t-2", "offer": "ritz", "price": 300})
    assert hotels.compensation("/bookings/cancel", key("t-2", "book-hotel"), rooms[1]).status == 200, (
        "only actions hang"
    )
    assert [booking["state"] for booking in hotels.state()["bookings"].values()] == ["HELD", "CANCELLED"]


def test_a_service_that_is_stopped_finishes_the_calls_that_run(tmp_path: Path) -> None:
    database = tmp_path / "orders.db"
    body = json.dumps(meal("o-1"))
    with process("orders", "--db", str(database)) as (running, orders), closing(sqlite3.connect(database)) as holder:
        called, idle = (HTTPConnection("127.0.0.1", orders.port, timeout=30) for _ in range(2))
        with closing(called), closing(idle):
            assert {ask(each, "GET", "/").status for each in (called, idle)} == {200}
            holder.execute("BEGIN IMMEDIATE")  # the call waits for it
            called.request("POST", "/orders", body, {"Idempotency-Key": f'"{key("o-1", "create-order")}/action"'})
            running.send_signal(signal.SIGTERM)
            until(lambda: refuses(orders.port))
            holder.rollback()
            assert called.getresponse().status == 200
            assert running.wait(30) == 0, "an idle connection holds nothing up"


def refuses(port: int) -> bool:
    """Whether nobody listens there any more."""
    try:
        socket.create_connection(("127.0.0.1", port), 30).close()
    except ConnectionError:
        return True
    return False


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline


def test_a_crash_between_commit_and_answer_costs_nothing_but_a_retry(tmp_path: Path) -> None:
    arguments = ["kitchen", "--db", str(tmp_path / "kitchen.db")]
    with process(*arguments, "--crash-after-commit", "2") as (running, kitchen):
        assert kitchen.action("/tickets", key("o-1", "create-ticket"), meal("o-1")).status == 200
        assert kitchen.action("/tickets", key("o-1", "create-ticket"), meal("o-1")).status == 200  # not a commit
        with pytest.raises(ConnectionError):
            kitchen.action("/tickets", key("o-2", "create-ticket"), meal("o-2"))
        assert running.wait(30) == 1
    with process(*arguments) as (running, kitchen):
        again = kitchen.action("/tickets", key("o-2", "create-ticket"), meal("o-2"))
        assert again == (200, {"orderId": "o-2", "ticketId": 2})
        assert len(kitchen.state()["tickets"]) == 2
        running.send_signal(signal.SIGTERM)
        assert running.wait(30) == 0


# -- the sagas and their books -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("folder", "services"), [(CREDIT, credit), (MEALS, meals), (TRIPS, trips), (MONEY, money)], ids=str
)
def test_every_path_of_the_sagas_is_served(folder: Path, services: ModuleType) -> None:
    sagas = [saga for file in folder.glob("*.yaml") for saga in yaml.safe_load_all(file.read_text())]
    steps = [step for saga in sagas for step in saga["spec"]["steps"]]
    served = {p.name: p for p in vars(services).values() if isinstance(p, participant.Participant)}
    actions = {(step["participant"], step["action"]["path"]) for step in steps}
    compensations = {(s["participant"], s["compensation"]["path"]) for s in steps if "compensation" in s}
    assert actions == {(name, path) for name, p in served.items() for path in p.actions}
    assert compensations == {(name, path) for name, p in served.items() for path in p.compensations}


def order_meal(serve: Serve, order: Any) -> str:
    """The saga of 02 as its steps follow one another, by hand. How it ended."""
    orders, consumers = serve(meals.orders), serve(meals.consumers)
    kitchen, accounting = serve(meals.kitchen), serve(meals.accounting)
    name = order["orderId"]
    payment = {"orderId": name, "card": order["card"], "amount": order["total"]}
    forward = [
        orders.action("/orders", key(name, "create-order"), order),
        consumers.action("/consumers/verify", key(name, "verify-consumer"), order),
        kitchen.action("/tickets", key(name, "create-ticket"), order),
    ]
    if all(answer.status == 200 for answer in forward):
        forward.append(accounting.action("/authorizations", key(name, "authorize-card"), payment))
    refusal = next((answer.body["detail"] for answer in forward if answer.status != 200), None)
    if refusal is None:
        kitchen.action("/tickets/confirm", key(name, "confirm-ticket"), order)
        orders.action("/orders/approve", key(name, "approve-order"), {"orderId": name})
    else:
        kitchen.compensation("/tickets/cancel", key(name, "create-ticket"), order, refusal)
        orders.compensation("/orders/reject", key(name, "create-order"), order, refusal)
    row = orders.state()["orders"][name]
    return f"{row['state']} {row['reason']}".strip()


@pytest.mark.parametrize(
    ("changes", "ending"),
    [
        ({}, "APPROVED"),
        ({"consumerId": "mallory"}, "REJECTED UNKNOWN_CONSUMER"),
        ({"restaurantId": "nowhere"}, "REJECTED UNKNOWN_RESTAURANT"),
        ({"restaurantId": "ratskeller"}, "REJECTED KITCHEN_CLOSED"),
        ({"dishes": ["dal", "pizza"]}, "REJECTED NOT_ON_THE_MENU"),
        ({"card": "4000000000000002"}, "REJECTED CARD_DECLINED"),
    ],
)
def test_a_meal_leaves_balanced_books(serve: Serve, tmp_path: Path, changes: Any, ending: str) -> None:
    assert order_meal(serve, meal("o-1", **changes)) == ending
    assert meals_books.balanced(tmp_path) == []


@pytest.mark.parametrize(
    ("service", "sql", "discrepancy"),
    [
        ("orders", "UPDATE orders SET state = 'APPROVAL_PENDING'", "order o-1 is still APPROVAL_PENDING"),
        ("orders", "UPDATE orders SET state = 'REJECTED'", "ticket 1 is CONFIRMED, but order o-1 is REJECTED"),
        ("orders", "UPDATE orders SET state = 'REJECTED'", "authorization 1 stands, but order o-1 is REJECTED"),
        ("orders", "DELETE FROM orders", "ticket 1 is CONFIRMED, but order o-1 is unknown"),
        ("kitchen", "DELETE FROM tickets", "order o-1 is APPROVED with 0 confirmed tickets"),
        (
            "kitchen",
            "UPDATE tickets SET state = 'CREATE_PENDING'",
            "ticket 1 is CREATE_PENDING, but order o-1 is APPROVED",
        ),
        (
            "kitchen",
            "INSERT INTO tickets (order_id, state) VALUES ('o-1', 'CONFIRMED')",
            "order o-1 is APPROVED with 2 confirmed tickets",
        ),
        ("accounting", "DELETE FROM authorizations", "order o-1 is APPROVED with 0 authorizations"),
        (
            "accounting",
            "INSERT INTO authorizations (order_id) VALUES ('o-1')",
            "order o-1 is APPROVED with 2 authorizations",
        ),
    ],
)
def test_the_books_of_meals_find(serve: Serve, tmp_path: Path, service: str, sql: str, discrepancy: str) -> None:
    order_meal(serve, meal("o-1"))
    execute(tmp_path / f"{service}.db", sql)
    assert discrepancy in meals_books.balanced(tmp_path)


def place_order(serve: Serve, order: Any) -> str:
    """The saga of 01, by hand. How it ended."""
    orders, customers = serve(credit.orders), serve(credit.customers)
    name = order["orderId"]
    created = orders.action("/orders", key(name, "create-order"), order)
    reserved = customers.action("/credit/reserve", key(name, "reserve-credit"), created.body)
    if reserved.status == 200:
        orders.action("/orders/approve", key(name, "approve-order"), reserved.body)
    else:
        customers.compensation("/credit/release", key(name, "reserve-credit"), order, reserved.body["detail"])
        orders.compensation("/orders/reject", key(name, "create-order"), order, reserved.body["detail"])
    row = orders.state()["orders"][name]
    return f"{row['state']} {row['reason']}".strip()


def test_orders_on_credit_leave_balanced_books(serve: Serve, tmp_path: Path) -> None:
    assert place_order(serve, purchase("o-1", 600)) == "APPROVED"
    assert place_order(serve, purchase("o-2", 600)) == "REJECTED INSUFFICIENT_CREDIT"
    assert place_order(serve, purchase("o-3", 400)) == "APPROVED"
    assert place_order(serve, purchase("o-4", 1, customer="nobody")) == "REJECTED UNKNOWN_CUSTOMER"
    assert credit_books.balanced(tmp_path) == []
    assert credit_books.balanced({name: tmp_path / f"{name}.db" for name in ("orders", "customers")}) == []


@pytest.mark.parametrize(
    ("service", "sql", "discrepancy"),
    [
        ("orders", "UPDATE orders SET state = 'PENDING'", "order o-1 is still PENDING"),
        ("orders", "UPDATE orders SET state = 'REJECTED'", "credit is reserved for order o-1, which is REJECTED"),
        ("orders", "DELETE FROM orders", "credit is reserved for order o-1, which is unknown"),
        ("orders", "UPDATE orders SET total = 9", "customer alice has reserved 600, but approved orders of 9"),
        (
            "customers",
            "DELETE FROM reservations",
            "order o-1 is APPROVED with 0 reservations of 0 for a total of 600",
        ),
        (
            "customers",
            "INSERT INTO reservations (order_id, customer, amount) VALUES ('o-1', 'alice', 600)",
            "order o-1 is APPROVED with 2 reservations of 1200 for a total of 600",
        ),
        ("customers", "UPDATE customers SET credit_limit = 5", "customer alice has reserved 600, over the limit of 5"),
    ],
)
def test_the_books_of_credit_find(serve: Serve, tmp_path: Path, service: str, sql: str, discrepancy: str) -> None:
    place_order(serve, purchase("o-1", 600))
    execute(tmp_path / f"{service}.db", sql)
    assert discrepancy in credit_books.balanced(tmp_path)


PROVIDERS = {"flight": "flights", "hotel": "hotels", "car": "cars"}
"""What a trip consists of, and who has it."""


def book_trip(serve: Serve, trip: Any) -> str:
    """The saga of 03, by hand. How it ended."""
    at = {name: serve(getattr(trips, name)) for name in ("trips", *PROVIDERS.values(), "payments")}
    name = trip["tripId"]
    bookings = {kind: {"trip": name, "offer": trip[kind]} for kind in PROVIDERS if kind in trip}
    created = at["trips"].action("/trips", key(name, "create-trip"), trip)
    done = [
        at[PROVIDERS[kind]].action("/bookings", key(name, f"book-{kind}"), booking)
        for kind, booking in bookings.items()
    ]
    payment = {"trip": name, "card": trip["card"], "amount": sum(answer.body.get("price", 0) for answer in done)}
    for path, service in (("/payments", "payments"), ("/bookings/confirm", "flights")):
        if all(answer.status == 200 for answer in done):
            done.append(at[service].action(path, key(name, f"{service}-late"), payment))
    refusal = next((answer.body["detail"] for answer in done if answer.status != 200), None)
    assert created.status == 200
    if refusal is None:
        for kind in bookings.keys() - {"flight"}:
            at[PROVIDERS[kind]].action("/bookings/confirm", key(name, f"confirm-{kind}"), {"trip": name})
        at["trips"].action("/trips/complete", key(name, "complete-trip"), {"trip": name})
    else:
        at["payments"].compensation("/payments/refund", key(name, "payments-late"), payment, refusal)
        for kind, booking in bookings.items():
            at[PROVIDERS[kind]].compensation("/bookings/cancel", key(name, f"book-{kind}"), booking, refusal)
        at["trips"].compensation("/trips/reject", key(name, "create-trip"), trip, refusal)
    row = at["trips"].state()["trips"][name]
    return f"{row['state']} {row['reason']}".strip()


@pytest.mark.parametrize(
    ("changes", "ending"),
    [
        ({}, "BOOKED"),
        ({"car": None}, "BOOKED"),
        ({"flight": "SM-103"}, "REJECTED FULLY_BOOKED"),
        ({"hotel": "full"}, "REJECTED FULLY_BOOKED"),
        ({"car": "none"}, "REJECTED FULLY_BOOKED"),
        ({"car": "ferrari"}, "REJECTED UNKNOWN_OFFER"),
        ({"card": "4000000000000002"}, "REJECTED CARD_DECLINED"),
        ({"flight": "SM-102"}, "REJECTED FARE_EXPIRED"),
    ],
)
def test_a_trip_leaves_balanced_books(serve: Serve, tmp_path: Path, changes: Any, ending: str) -> None:
    assert book_trip(serve, wish("t-1", **changes)) == ending
    assert trips_books.balanced(tmp_path) == []


@pytest.mark.parametrize(
    ("service", "sql", "discrepancy"),
    [
        ("trips", "UPDATE trips SET state = 'PENDING'", "trip t-1 is still PENDING"),
        ("trips", "UPDATE trips SET car = NULL", "car booking 1 is CONFIRMED, but trip t-1 is without it"),
        ("trips", "UPDATE trips SET state = 'REJECTED'", "hotel booking 1 is CONFIRMED, but trip t-1 is REJECTED"),
        ("trips", "UPDATE trips SET state = 'REJECTED'", "payment 1 is PAID, but trip t-1 is REJECTED"),
        ("trips", "DELETE FROM trips", "payment 1 is PAID, but trip t-1 is unknown"),
        ("flights", "UPDATE bookings SET state = 'HELD'", "flight booking 1 is HELD, but trip t-1 is BOOKED"),
        (
            "flights",
            "UPDATE bookings SET offer = 'SM-102'",
            "trip t-1 is BOOKED with 0 confirmed bookings of the flight",
        ),
        ("hotels", "DELETE FROM bookings", "trip t-1 is BOOKED with 0 confirmed bookings of the hotel"),
        (
            "cars",
            "INSERT INTO bookings (trip, offer, state) VALUES ('t-1', 'mini', 'CONFIRMED')",
            "trip t-1 is BOOKED with 2 confirmed bookings of the car",
        ),
        ("hotels", "UPDATE offers SET places = 0", "hotel ritz has 0 places, but 1 are taken"),
        ("payments", "DELETE FROM payments", "trip t-1 is BOOKED for 450, but paid are 0"),
        ("payments", "UPDATE payments SET state = 'REFUNDED'", "trip t-1 is BOOKED for 450, but paid are 0"),
        ("payments", "UPDATE payments SET amount = 9", "trip t-1 is BOOKED for 450, but paid are 9"),
        (
            "payments",
            "INSERT INTO payments (trip, amount, state) VALUES ('t-1', 450, 'PAID')",
            "trip t-1 is BOOKED for 450, but paid are 900",
        ),
    ],
)
def test_the_books_of_trips_find(serve: Serve, tmp_path: Path, service: str, sql: str, discrepancy: str) -> None:
    book_trip(serve, wish("t-1"))
    execute(tmp_path / f"{service}.db", sql)
    assert discrepancy in trips_books.balanced(tmp_path)


def test_no_room_is_booked_twice(serve: Serve) -> None:
    hotels = serve(trips.hotels)

    def book(number: int) -> int:
        room = {"trip": f"t-{number}", "offer": "inn"}
        return hotels.action("/bookings", key(f"t-{number}", "book-hotel"), room).status

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(book, range(8))) == [200] * 3 + [422] * 5  # the inn has three rooms


@pytest.mark.parametrize(
    "paths", [("/bookings/unconfirm", "/bookings/cancel"), ("/bookings/cancel", "/bookings/unconfirm")]
)
def test_a_confirmed_booking_can_be_undone_in_any_order(serve: Serve, paths: tuple[str, str]) -> None:
    cars = serve(trips.cars)
    car, steps = (
        {"trip": "t-1", "offer": "mini"},
        {"/bookings/cancel": "book-car", "/bookings/unconfirm": "confirm-car"},
    )
    cars.action("/bookings", key("t-1", "book-car"), car)
    cars.action("/bookings/confirm", key("t-1", "confirm-car"), car)
    assert cars.state()["bookings"]["1"]["state"] == "CONFIRMED"
    for path in paths:
        assert cars.compensation(path, key("t-1", steps[path]), car).status == 200
    assert cars.state()["bookings"]["1"]["state"] == "CANCELLED"


def transfer(serve: Serve, wanted: Any) -> str:
    """The saga of 04 from north to south, by hand. How it ended."""
    north, south = serve(money.north), serve(money.south)
    name = wanted["transferId"]
    debited = north.action("/debits", key(name, "debit"), wanted)
    if debited.status != 200:
        return str(debited.body["detail"])
    credited = south.action("/credits", key(name, "credit"), wanted)
    if credited.status == 200:
        north.action("/debits/settle", key(name, "settle"), credited.body)
        return "ARRIVED"
    north.compensation("/debits/return", key(name, "debit"), wanted, credited.body["detail"])
    return f"RETURNED {credited.body['detail']}"


def balances(*services: Service) -> list[int]:
    """Of the first account of each."""
    return [next(iter(service.state()["accounts"].values()))["balance"] for service in services]


@pytest.mark.parametrize(
    ("wanted", "ending", "left"),
    [
        (order("t-1", 5000), "ARRIVED", [0, 10_000]),
        (order("t-1", 5001), "INSUFFICIENT_FUNDS", [5000, 5000]),
        (order("t-1", 10, payer="north-10"), "ACCOUNT_CLOSED", [5000, 5000]),
        (order("t-1", 10, payer="north-11"), "UNKNOWN_ACCOUNT", [5000, 5000]),
        (order("t-1", 10, payee="south-10"), "RETURNED ACCOUNT_CLOSED", [5000, 5000]),
        (order("t-1", 10, payee="north-1"), "RETURNED UNKNOWN_ACCOUNT", [5000, 5000]),
        (order("t-1", -10), "INVALID: the amount must be from 1 to 1000000", [5000, 5000]),
        ({"transferId": "t-1"}, "INVALID: missing, or of the wrong type: from, to, amount", [5000, 5000]),
    ],
)
def test_a_transfer_leaves_balanced_books(
    serve: Serve, tmp_path: Path, wanted: Any, ending: str, left: list[int]
) -> None:
    assert transfer(serve, wanted) == ending
    assert balances(serve(money.north), serve(money.south)) == left
    assert money_books.balanced(tmp_path) == []


def test_a_transfer_that_is_started_anew_is_refused(serve: Serve, tmp_path: Path) -> None:
    north = serve(money.north)
    assert transfer(serve, order("t-1", 100)) == "ARRIVED"
    again = north.action("/debits", "default/north-to-south/t-1/ANOTHER/debit", order("t-1", 100))
    assert (again.status, again.body["detail"]) == (422, "TRANSFER_EXISTS")
    assert balances(north) == [4900]
    assert money_books.balanced(tmp_path) == []


def test_money_on_the_way_can_be_spent_by_nobody(serve: Serve) -> None:
    """Neither by its payer, who may get it back, nor by its payee, who may never get it."""
    north, south = serve(money.north), serve(money.south)
    north.action("/debits", key("t-1", "debit"), order("t-1", 4000))
    assert transfer(serve, order("t-2", 1001)) == "INSUFFICIENT_FUNDS"
    assert balances(north, south) == [1000, 5000]


def test_money_goes_back_even_to_an_account_that_was_closed(serve: Serve, tmp_path: Path) -> None:
    north = serve(money.north)
    north.action("/debits", key("t-1", "debit"), order("t-1", 4000))
    execute(tmp_path / "north.db", "UPDATE accounts SET state = 'CLOSED'")
    serve(money.south)
    assert north.compensation("/debits/return", key("t-1", "debit"), order("t-1", 4000)).status == 200
    assert balances(north) == [5000]
    assert money_books.balanced(tmp_path) == []


def test_concurrent_debits_never_overdraw(serve: Serve) -> None:
    replicas = [serve(money.north), serve(money.north)]

    def pay(number: int) -> int:
        wanted = order(f"t-{number}", 1500)
        return replicas[number % 2].action("/debits", key(f"t-{number}", "debit"), wanted).status

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(pay, range(8))) == [200] * 3 + [422] * 5  # of 5000
    assert balances(*replicas) == [500, 500]


@pytest.mark.parametrize(
    ("service", "sql", "discrepancy"),
    [
        ("north", "UPDATE accounts SET balance = 4901 WHERE id = 'north-1'", "the sum was 100000 and is 100001"),
        (
            "north",
            "UPDATE accounts SET balance = 5000 WHERE id = 'north-1'",
            "account north-1 has 5000, but its entries make 4900",
        ),
        (
            "north",
            "PRAGMA ignore_check_constraints = ON; UPDATE accounts SET balance = -5 WHERE id = 'north-1'",
            "account north-1 is overdrawn by 5",
        ),
        ("north", "UPDATE debits SET state = 'ON_THE_WAY'", "100 of t-1 are still on the way"),
        ("north", "UPDATE debits SET state = 'RETURNED'", "100 were credited for t-1, whose debit is RETURNED"),
        ("north", "DELETE FROM debits", "100 were credited for t-1, whose debit is missing"),
        ("south", "DELETE FROM credits", "100 of t-1 arrived, but nothing was credited"),
        ("south", "UPDATE credits SET amount = 99", "100 of t-1 arrived, but 99 was credited"),
    ],
)
def test_the_books_of_money_find(serve: Serve, tmp_path: Path, service: str, sql: str, discrepancy: str) -> None:
    transfer(serve, order("t-1", 100))
    execute(tmp_path / f"{service}.db", sql)
    assert discrepancy in money_books.balanced(tmp_path)


@pytest.mark.parametrize(
    ("ended", "after", "wrong", "well", "said"),
    [
        (2, {"north": 60, "south": 40}, [], True, "sum unchanged, books balanced"),
        (1, {"north": 60, "south": 40}, [], False, "1 stuck"),
        (2, {"north": 60, "south": 39}, [], False, "sum CHANGED"),
        (2, {"north": 60, "south": 41}, [], False, "sum CHANGED"),
        (2, {"north": 60, "south": 40}, ["account north-1 is overdrawn by 5"], False, "overdrawn by 5"),
    ],
)
def test_the_transfers_end_well_only_if_all_is_well(
    capsys: pytest.CaptureFixture[str], ended: int, after: Any, wrong: list[str], well: bool, said: str
) -> None:
    tally = driver.Tally([])
    tally.ended = {f"t-{n}": "completed" for n in range(ended)}
    assert driver.conclude(2, tally, {"north": 50, "south": 50}, after, wrong) is well
    assert said in capsys.readouterr().out


def test_books_are_not_made_up(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError):
        credit_books.balanced(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_reason_may_be_an_object_or_text() -> None:
    assert participant.reason({"cause": {"kind": "refused", "reason": "CARD_DECLINED"}}) == "CARD_DECLINED"
    assert participant.reason({"cause": {"kind": "cancelled"}}) == ""
    assert participant.reason({"cause": "CARD_DECLINED"}) == "CARD_DECLINED"


def execute(path: Path, sql: str) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.executescript(sql)
