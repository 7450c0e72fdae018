"""Whether the books of the services agree, once every saga has finished.

Reads their databases and changes nothing:

    python books.py DIRECTORY       # with orders.db, kitchen.db and accounting.db
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # bookkeeping.py, which all examples share, lies one folder up
from bookkeeping import Databases, discrepancies, main

SERVICES = ("orders", "kitchen", "accounting")  # the consumers are only read

# Each finds discrepancies, one sentence a row.
CHECKS = (
    """
    SELECT 'order ' || id || ' is still ' || state
    FROM orders.orders WHERE state NOT IN ('APPROVED', 'REJECTED')
    """,
    """
    SELECT 'order ' || id || ' is APPROVED with ' || tickets || ' confirmed tickets'
    FROM (
        SELECT id, (SELECT count(*) FROM kitchen.tickets WHERE order_id = o.id AND state = 'CONFIRMED') AS tickets
        FROM orders.orders o WHERE state = 'APPROVED'
    )
    WHERE tickets <> 1
    """,
    """
    SELECT 'order ' || id || ' is APPROVED with ' || authorizations || ' authorizations'
    FROM (
        SELECT id, (SELECT count(*) FROM accounting.authorizations WHERE order_id = o.id) AS authorizations
        FROM orders.orders o WHERE state = 'APPROVED'
    )
    WHERE authorizations <> 1
    """,
    """
    SELECT 'ticket ' || t.id || ' is ' || t.state
        || ', but order ' || t.order_id || ' is ' || coalesce(o.state, 'unknown')
    FROM kitchen.tickets t LEFT JOIN orders.orders o ON o.id = t.order_id
    WHERE t.state <> CASE o.state WHEN 'APPROVED' THEN 'CONFIRMED' ELSE 'CANCELLED' END
    """,
    """
    SELECT 'authorization ' || a.id || ' stands, but order ' || a.order_id || ' is ' || coalesce(o.state, 'unknown')
    FROM accounting.authorizations a LEFT JOIN orders.orders o ON o.id = a.order_id
    WHERE o.state IS NOT 'APPROVED'
    """,
)


def balanced(databases: Databases) -> list[str]:
    """The discrepancies; none: balanced."""
    return discrepancies(databases, SERVICES, CHECKS)


if __name__ == "__main__":
    main(balanced)
