"""Whether the books of the services agree, once every saga has finished.

Reads their databases and changes nothing:

    python books.py DIRECTORY       # with orders.db and customers.db
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # bookkeeping.py, which all examples share, lies one folder up
from bookkeeping import Databases, discrepancies, main

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


def balanced(databases: Databases) -> list[str]:
    """The discrepancies; none: balanced."""
    return discrepancies(databases, SERVICES, CHECKS)


if __name__ == "__main__":
    main(balanced)
