"""Whether the books of the services agree, once every saga has finished.

Reads their databases and changes nothing:

    python books.py DIRECTORY       # with orders.db, kitchen.db and accounting.db
"""

import sqlite3
import sys
from collections.abc import Mapping
from pathlib import Path

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
