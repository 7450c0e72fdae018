"""The four services of this example.

Each is a process of its own:

    python services.py orders --port 9001 --db orders.db
    python services.py consumers --port 9002 --db consumers.db
    python services.py kitchen --port 9003 --db kitchen.db
    python services.py accounting --port 9004 --db accounting.db
"""

import json
import sys
from collections import Counter
from pathlib import Path
from sqlite3 import Connection
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))  # participant.py, which all examples share, lies one folder up
from participant import Participant, Refused, main, need, reason

# -- orders --------------------------------------------------------------------------------------------------------

orders = Participant(
    "orders",
    """
    CREATE TABLE IF NOT EXISTS orders (
        id TEXT PRIMARY KEY, consumer TEXT, total INTEGER, state TEXT, reason TEXT DEFAULT ''
    );
    """,
)


@orders.action("/orders")
def create(db: Connection, order: Any) -> Any:
    need(order, orderId=str, consumerId=str, restaurantId=str, dishes=list, total=int, card=str)
    if not 0 < order["total"] <= 1_000_000:
        raise Refused("INVALID: the total must be from 1 to 1000000")
    sql = """
    INSERT INTO orders (id, consumer, total, state) VALUES (?, ?, ?, 'APPROVAL_PENDING') ON CONFLICT DO NOTHING
    """
    if not db.execute(sql, (order["orderId"], order["consumerId"], order["total"])).rowcount:
        raise Refused("ORDER_EXISTS")
    return {"orderId": order["orderId"], "consumerId": order["consumerId"]}


@orders.compensation("/orders/reject")
def reject(db: Connection, undo: Any) -> None:
    sql = "UPDATE orders SET state = 'REJECTED', reason = ? WHERE id = ?"
    db.execute(sql, (reason(undo), undo["request"]["orderId"]))


@orders.action("/orders/approve")
def approve(db: Connection, ticket: Any) -> Any:
    db.execute("UPDATE orders SET state = 'APPROVED' WHERE id = ?", (ticket["orderId"],))
    return {"orderId": ticket["orderId"], "state": "APPROVED"}


# -- consumers -----------------------------------------------------------------------------------------------------

consumers = Participant(
    "consumers",
    """
    CREATE TABLE IF NOT EXISTS consumers (id TEXT PRIMARY KEY, name TEXT);
    INSERT OR IGNORE INTO consumers VALUES ('alice', 'Alice'), ('bob', 'Bob');
    """,
)


@consumers.action("/consumers/verify")
def verify(db: Connection, order: Any) -> Any:
    if not db.execute("SELECT 1 FROM consumers WHERE id = ?", (order["consumerId"],)).fetchone():
        raise Refused("UNKNOWN_CONSUMER")
    return order


# -- kitchen -------------------------------------------------------------------------------------------------------

kitchen = Participant(
    "kitchen",
    """
    CREATE TABLE IF NOT EXISTS restaurants (id TEXT PRIMARY KEY, open INTEGER, menu TEXT);
    CREATE TABLE IF NOT EXISTS tickets (id INTEGER PRIMARY KEY, order_id TEXT, dishes TEXT, state TEXT);
    INSERT OR IGNORE INTO restaurants VALUES
        ('ajanta', 1, '["samosa", "dal", "vindaloo"]'),
        ('ratskeller', 0, '["schnitzel"]');
    """,
)


@kitchen.action("/tickets")
def create_ticket(db: Connection, order: Any) -> Any:
    restaurant = db.execute("SELECT open, menu FROM restaurants WHERE id = ?", (order["restaurantId"],)).fetchone()
    if restaurant is None:
        raise Refused("UNKNOWN_RESTAURANT")
    is_open, menu = restaurant
    if not is_open:
        raise Refused("KITCHEN_CLOSED")
    if not all(dish in json.loads(menu) for dish in order["dishes"]):
        raise Refused("NOT_ON_THE_MENU")
    sql = "INSERT INTO tickets (order_id, dishes, state) VALUES (?, ?, 'CREATE_PENDING')"
    ticket = db.execute(sql, (order["orderId"], json.dumps(order["dishes"])))
    return {"orderId": order["orderId"], "ticketId": ticket.lastrowid}


@kitchen.compensation("/tickets/cancel")
def cancel_ticket(db: Connection, undo: Any) -> None:
    # By the order, not by the ticket: `result` is null where the answer of the action was lost.
    db.execute("UPDATE tickets SET state = 'CANCELLED' WHERE order_id = ?", (undo["request"]["orderId"],))


jams: Counter[str] = Counter()  # a matter of the printer, not of the database: no rollback clears one


@kitchen.action("/tickets/confirm")
def confirm_ticket(db: Connection, order: Any) -> Any:
    """Print the ticket. To see a retry, let an order say how often the printer jams: `"printerJams": 2`."""
    order_id = order["orderId"]
    if jams[order_id] < order.get("printerJams", 0):
        jams[order_id] += 1
        raise RuntimeError(f"the printer jammed on {order_id}")
    db.execute("UPDATE tickets SET state = 'CONFIRMED' WHERE order_id = ?", (order_id,))
    return {"orderId": order_id}


# -- accounting ----------------------------------------------------------------------------------------------------

accounting = Participant(
    "accounting",
    """
    CREATE TABLE IF NOT EXISTS authorizations (id INTEGER PRIMARY KEY, order_id TEXT, card TEXT, amount INTEGER);
    """,
)

DECLINED = "4000000000000002"  # the number of a test card that payment providers decline


@accounting.action("/authorizations")
def authorize(db: Connection, payment: Any) -> Any:
    if payment["card"] == DECLINED:
        raise Refused("CARD_DECLINED")
    sql = "INSERT INTO authorizations (order_id, card, amount) VALUES (?, ?, ?)"
    authorization = db.execute(sql, (payment["orderId"], payment["card"], payment["amount"]))
    return {"orderId": payment["orderId"], "authorizationId": authorization.lastrowid}


if __name__ == "__main__":
    main(orders, consumers, kitchen, accounting)
