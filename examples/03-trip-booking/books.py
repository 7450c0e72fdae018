"""Whether the books of the services agree, once every saga has finished.

Reads their databases and changes nothing:

    python books.py DIRECTORY       # with trips.db, flights.db, hotels.db, cars.db and payments.db
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # bookkeeping.py, which all examples share, lies one folder up
from bookkeeping import Databases, discrepancies, main

SERVICES = ("trips", "flights", "hotels", "cars", "payments")

VIEWS = """
CREATE TEMP VIEW wishes AS
    SELECT id AS trip, state, 'flight' AS kind, flight AS offer FROM trips.trips
    UNION ALL SELECT id, state, 'hotel', hotel FROM trips.trips
    UNION ALL SELECT id, state, 'car', car FROM trips.trips WHERE car IS NOT NULL;
CREATE TEMP VIEW bookings AS
    SELECT *, 'flight' AS kind FROM flights.bookings
    UNION ALL SELECT *, 'hotel' FROM hotels.bookings
    UNION ALL SELECT *, 'car' FROM cars.bookings;
CREATE TEMP VIEW offers AS
    SELECT *, 'flight' AS kind FROM flights.offers
    UNION ALL SELECT *, 'hotel' FROM hotels.offers
    UNION ALL SELECT *, 'car' FROM cars.offers;
CREATE TEMP VIEW prices AS
    SELECT trip, sum(price) AS price FROM bookings JOIN offers ON offers.id = offer AND offers.kind = bookings.kind
    WHERE state = 'CONFIRMED' GROUP BY trip;
"""

# Each finds discrepancies, one sentence a row.
CHECKS = (
    "SELECT 'trip ' || id || ' is still ' || state FROM trips.trips WHERE state NOT IN ('BOOKED', 'REJECTED')",
    """
    SELECT 'trip ' || w.trip || ' is BOOKED with ' || count(b.id) || ' confirmed bookings of the ' || w.kind
    FROM wishes w LEFT JOIN bookings b
        ON b.trip = w.trip AND b.kind = w.kind AND b.offer = w.offer AND b.state = 'CONFIRMED'
    WHERE w.state = 'BOOKED'
    GROUP BY w.trip, w.kind HAVING count(b.id) <> 1
    """,
    """
    SELECT b.kind || ' booking ' || b.id || ' is ' || b.state
        || ', but trip ' || b.trip || ' is ' || coalesce(w.state, 'without it')
    FROM bookings b LEFT JOIN wishes w USING (trip, kind)
    WHERE b.state <> CASE w.state WHEN 'BOOKED' THEN 'CONFIRMED' ELSE 'CANCELLED' END
    """,
    """
    SELECT kind || ' ' || id || ' has ' || places || ' places, but ' || taken || ' are taken'
    FROM (
        SELECT *,
            (SELECT count(*) FROM bookings WHERE offer = o.id AND kind = o.kind AND state <> 'CANCELLED') AS taken
        FROM offers o
    )
    WHERE taken > places
    """,
    """
    SELECT 'trip ' || t.id || ' is BOOKED for ' || coalesce(price, 0) || ', but paid are ' || coalesce(sum(p.amount), 0)
    FROM trips.trips t LEFT JOIN prices ON prices.trip = t.id
        LEFT JOIN payments.payments p ON p.trip = t.id AND p.state = 'PAID'
    WHERE t.state = 'BOOKED'
    GROUP BY t.id HAVING sum(p.amount) IS NOT price
    """,
    """
    SELECT 'payment ' || p.id || ' is PAID, but trip ' || p.trip || ' is ' || coalesce(t.state, 'unknown')
    FROM payments.payments p LEFT JOIN trips.trips t ON t.id = p.trip
    WHERE p.state = 'PAID' AND t.state IS NOT 'BOOKED'
    """,
)


def balanced(databases: Databases) -> list[str]:
    """The discrepancies; none: balanced."""
    return discrepancies(databases, SERVICES, CHECKS, VIEWS)


if __name__ == "__main__":
    main(balanced)
