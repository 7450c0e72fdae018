"""The two services of this example: orders, and the customers whose credit pays for them.

Each is a process of its own:

    python services.py orders --port 9001 --db orders.db
    python services.py customers --port 9002 --db customers.db
"""

import sys
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
        id TEXT PRIMARY KEY, customer TEXT, total INTEGER, state TEXT, reason TEXT DEFAULT ''
    );
    """,
)


@orders.action("/orders")
def create(db: Connection, order: Any) -> Any:
    need(order, orderId=str, customerId=str, total=int)
    if not 0 < order["total"] <= 1_000_000:
        raise Refused("INVALID: the total must be from 1 to 1000000")
    sql = "INSERT INTO orders (id, customer, total, state) VALUES (?, ?, ?, 'PENDING') ON CONFLICT DO NOTHING"
    if not db.execute(sql, (order["orderId"], order["customerId"], order["total"])).rowcount:
        raise Refused("ORDER_EXISTS")
    return order


@orders.compensation("/orders/reject")
def reject(db: Connection, undo: Any) -> None:
    sql = "UPDATE orders SET state = 'REJECTED', reason = ? WHERE id = ?"
    db.execute(sql, (reason(undo), undo["request"]["orderId"]))


@orders.action("/orders/approve")
def approve(db: Connection, credit: Any) -> Any:
    db.execute("UPDATE orders SET state = 'APPROVED' WHERE id = ?", (credit["orderId"],))
    return {"orderId": credit["orderId"], "state": "APPROVED"}


# -- customers -----------------------------------------------------------------------------------------------------

customers = Participant(
    "customers",
    """
    CREATE TABLE IF NOT EXISTS customers (id TEXT PRIMARY KEY, credit_limit INTEGER);
    CREATE TABLE IF NOT EXISTS reservations (id INTEGER PRIMARY KEY, order_id TEXT, customer TEXT, amount INTEGER);
    INSERT OR IGNORE INTO customers VALUES ('alice', 1000), ('bob', 100);
    """,
)

AVAILABLE = """
SELECT credit_limit - (SELECT coalesce(sum(amount), 0) FROM reservations WHERE customer = customers.id)
FROM customers WHERE id = ?
"""


@customers.action("/credit/reserve")
def reserve(db: Connection, order: Any) -> Any:
    available = db.execute(AVAILABLE, (order["customerId"],)).fetchone()
    if available is None:
        raise Refused("UNKNOWN_CUSTOMER")
    if available[0] < order["total"]:
        raise Refused("INSUFFICIENT_CREDIT")
    sql = "INSERT INTO reservations (order_id, customer, amount) VALUES (?, ?, ?)"
    db.execute(sql, (order["orderId"], order["customerId"], order["total"]))
    return {"orderId": order["orderId"], "reserved": order["total"]}


@customers.compensation("/credit/release")
def release(db: Connection, undo: Any) -> None:
    db.execute("DELETE FROM reservations WHERE order_id = ?", (undo["request"]["orderId"],))


if __name__ == "__main__":
    main(orders, customers)
