"""Whether the books of the two banks agree, once every transfer has finished.

Reads their databases and changes nothing:

    python books.py DIRECTORY       # with north.db and south.db
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # bookkeeping.py, which all examples share, lies one folder up
from bookkeeping import Databases, discrepancies, main

SERVICES = ("north", "south")

VIEWS = """
CREATE TEMP VIEW accounts AS SELECT * FROM north.accounts UNION ALL SELECT * FROM south.accounts;
CREATE TEMP VIEW debits AS
    SELECT *, 'north to south' AS way FROM north.debits UNION ALL SELECT *, 'south to north' FROM south.debits;
CREATE TEMP VIEW credits AS
    SELECT *, 'south to north' AS way FROM north.credits UNION ALL SELECT *, 'north to south' FROM south.credits;
"""

# Each finds discrepancies, one sentence a row.
CHECKS = (
    """
    SELECT 'the sum was ' || was || ' and is ' || now
    FROM (SELECT sum(opening) AS was, sum(balance) AS now FROM accounts) WHERE was <> now
    """,
    "SELECT 'account ' || id || ' is overdrawn by ' || -balance FROM accounts WHERE balance < 0",
    """
    SELECT 'account ' || id || ' has ' || balance || ', but its entries make ' || entries
    FROM (
        SELECT *, opening
            + (SELECT coalesce(sum(amount), 0) FROM credits WHERE account = a.id)
            - (SELECT coalesce(sum(amount), 0) FROM debits WHERE account = a.id AND state <> 'RETURNED') AS entries
        FROM accounts a
    )
    WHERE balance <> entries
    """,
    "SELECT amount || ' of ' || transfer || ' are still on the way' FROM debits WHERE state = 'ON_THE_WAY'",
    """
    SELECT d.amount || ' of ' || d.transfer || ' arrived, but ' || coalesce(c.amount, 'nothing') || ' was credited'
    FROM debits d LEFT JOIN credits c USING (transfer, way)
    WHERE d.state = 'ARRIVED' AND c.amount IS NOT d.amount
    """,
    """
    SELECT c.amount || ' were credited for ' || c.transfer || ', whose debit is ' || coalesce(d.state, 'missing')
    FROM credits c LEFT JOIN debits d USING (transfer, way)
    WHERE d.state IS NOT 'ARRIVED'
    """,
)


def balanced(databases: Databases) -> list[str]:
    """The discrepancies; none: balanced."""
    return discrepancies(databases, SERVICES, CHECKS, VIEWS)


if __name__ == "__main__":
    main(balanced)
