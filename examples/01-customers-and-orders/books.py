"""Whether the books of the services agree, once every saga has finished.

Reads their databases and changes nothing:

    python books.py DIRECTORY       # with orders.db and customers.db
"""

import sqlite3
import sys
from collections.abc import Mapping
from pathlib import Path

SERVICES = ("orders", "customers")

# Each finds discrepancies, one sentence a row.
CHECKS = (
    """
    SELECT 'order ' || id || ' is still ' || state
    FROM orders.orders WHERE state NOT IN ('APPROVED', 'REJECTED')
    """,
    """
    SELECT 'order ' || o.id || ' is APPROVED with ' || count(r.id) || ' reservations of ' || coalesce(sum(r.amount), 0)
        || ' for a total of ' || o.total
    FROM orders.orders o LEFT JOIN customers.reservations r ON r.order_id = o.id AND r.customer = o.customer
    WHERE o.state = 'APPROVED'
    GROUP BY o.id HAVING count(r.id) <> 1 OR sum(r.amount) <> o.total
    """,
    """
    SELECT 'credit is reserved for order ' || r.order_id || ', which is ' || coalesce(o.state, 'unknown')
    FROM customers.reservations r LEFT JOIN orders.orders o ON o.id = r.order_id
    WHERE o.state IS NOT 'APPROVED'
    """,
    """
    SELECT 'customer ' || c.id || ' has reserved ' || c.reserved || ', but approved orders of ' || c.approved
    FROM (
        SELECT id,
            (SELECT coalesce(sum(amount), 0) FROM customers.reservations WHERE customer = c.id) AS reserved,
            (SELECT coalesce(sum(total), 0) FROM orders.orders WHERE customer = c.id AND state = 'APPROVED') AS approved
        FROM customers.customers c
    ) c
    WHERE reserved <> approved
    """,
    """
    SELECT 'customer ' || c.id || ' has reserved ' || sum(r.amount) || ', over the limit of ' || c.credit_limit
    FROM customers.customers c JOIN customers.reservations r ON r.customer = c.id
    GROUP BY c.id HAVING sum(r.amount) > c.credit_limit
    """,
)


def balanced(databases: Path | Mapping[str, Path]) -> list[str]:
    """The discrepancies; none: balanced. `databases`: a directory with `<service>.db`, or the path of each."""
    paths = databases if isinstance(databases, Mapping) else {name: databases / f"{name}.db" for name in SERVICES}
    db = sqlite3.connect(":memory:", uri=True)
    try:
        for name in SERVICES:
            db.execute(f"ATTACH ? AS {name}", (f"{paths[name].absolute().as_uri()}?mode=ro",))
        return [sentence for check in CHECKS for (sentence,) in db.execute(check)]
    finally:
        db.close()


if __name__ == "__main__":
    discrepancies = balanced(Path(sys.argv[1]))
    print("\n".join(discrepancies) or "balanced")
    sys.exit(bool(discrepancies))
