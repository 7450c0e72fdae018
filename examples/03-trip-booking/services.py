"""The five services of this example. Flights, hotels and cars do the same with what they have to offer.

Each is a process of its own:

    python services.py trips --port 9001 --db trips.db
    python services.py flights --port 9002 --db flights.db
    python services.py hotels --port 9003 --db hotels.db
    python services.py cars --port 9004 --db cars.db
    python services.py payments --port 9005 --db payments.db
"""

import sys
from pathlib import Path
from sqlite3 import Connection
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))  # participant.py, which all examples share, lies one folder up
from participant import Participant, Refused, main, need, reason

# -- trips ---------------------------------------------------------------------------------------------------------

trips = Participant(
    "trips",
    """
    CREATE TABLE IF NOT EXISTS trips (
        id TEXT PRIMARY KEY, flight TEXT, hotel TEXT, car TEXT, state TEXT, reason TEXT DEFAULT ''
    );
    """,
)


@trips.action("/trips")
def create(db: Connection, trip: Any) -> Any:
    need(trip, tripId=str, flight=str, hotel=str, card=str, **{"car": str} if "car" in trip else {})
    sql = "INSERT INTO trips (id, flight, hotel, car, state) VALUES (?, ?, ?, ?, 'PENDING') ON CONFLICT DO NOTHING"
    if not db.execute(sql, (trip["tripId"], trip["flight"], trip["hotel"], trip.get("car"))).rowcount:
        raise Refused("TRIP_EXISTS")
    return trip


@trips.compensation("/trips/reject")
def reject(db: Connection, undo: Any) -> None:
    sql = "UPDATE trips SET state = 'REJECTED', reason = ? WHERE id = ?"
    db.execute(sql, (reason(undo), undo["request"]["tripId"]))


@trips.action("/trips/complete")
def complete(db: Connection, wish: Any) -> Any:
    db.execute("UPDATE trips SET state = 'BOOKED' WHERE id = ?", (wish["trip"],))
    return {"trip": wish["trip"]}


@trips.compensation("/trips/reopen")
def reopen(db: Connection, undo: Any) -> None:
    db.execute("UPDATE trips SET state = 'PENDING' WHERE id = ? AND state = 'BOOKED'", (undo["request"]["trip"],))


# -- flights, hotels and cars --------------------------------------------------------------------------------------

TABLES = """
CREATE TABLE IF NOT EXISTS offers (id TEXT PRIMARY KEY, price INTEGER, places INTEGER);
CREATE TABLE IF NOT EXISTS bookings (id INTEGER PRIMARY KEY, trip TEXT, offer TEXT, state TEXT);
INSERT OR IGNORE INTO offers VALUES
"""


def provider(name: str, offers: str) -> Participant:
    """Somebody with places: each is held for a trip, and then confirmed or given up."""
    one = Participant(name, f"{TABLES} {offers};")
    one.action("/bookings")(book)
    one.compensation("/bookings/cancel")(cancel)
    one.action("/bookings/confirm")(confirm)
    one.compensation("/bookings/unconfirm")(unconfirm)
    return one


FREE = """
SELECT price, places - (SELECT count(*) FROM bookings WHERE offer = offers.id AND state <> 'CANCELLED')
FROM offers WHERE id = ?
"""


def book(db: Connection, wish: Any) -> Any:
    found = db.execute(FREE, (wish["offer"],)).fetchone()
    if found is None:
        raise Refused("UNKNOWN_OFFER")
    price, free = found
    if free < 1:
        raise Refused("FULLY_BOOKED")
    db.execute("INSERT INTO bookings (trip, offer, state) VALUES (?, ?, 'HELD')", (wish["trip"], wish["offer"]))
    return {"trip": wish["trip"], "offer": wish["offer"], "price": price}


def cancel(db: Connection, undo: Any) -> None:
    # By the trip, not by the booking: `result` is null where the answer of the action was lost.
    db.execute("UPDATE bookings SET state = 'CANCELLED' WHERE trip = ?", (undo["request"]["trip"],))


def confirm(db: Connection, wish: Any) -> Any:
    db.execute("UPDATE bookings SET state = 'CONFIRMED' WHERE trip = ? AND state = 'HELD'", (wish["trip"],))
    return {"trip": wish["trip"]}


def unconfirm(db: Connection, undo: Any) -> None:
    """Changes nothing where the booking was cancelled already: all may be undone at once (`compensationOrder`)."""
    db.execute("UPDATE bookings SET state = 'HELD' WHERE trip = ? AND state = 'CONFIRMED'", (undo["request"]["trip"],))


flights = provider("flights", "('SM-101', 120, 200), ('SM-102', 90, 200), ('SM-103', 80, 0)")
hotels = provider("hotels", "('ritz', 300, 200), ('inn', 50, 3), ('full', 40, 0)")
cars = provider("cars", "('mini', 30, 200), ('none', 20, 0)")

EXPIRED = "SM-102"  # a fare that can be booked, but is gone when the ticket is to be issued


def issue(db: Connection, wish: Any) -> Any:
    """Confirm a flight. Only airlines refuse that: their confirmation is the pivot."""
    if db.execute("SELECT 1 FROM bookings WHERE trip = ? AND offer = ?", (wish["trip"], EXPIRED)).fetchone():
        raise Refused("FARE_EXPIRED")
    return confirm(db, wish)


flights.actions["/bookings/confirm"] = issue


# -- payments ------------------------------------------------------------------------------------------------------

payments = Participant(
    "payments",
    """
    CREATE TABLE IF NOT EXISTS payments (id INTEGER PRIMARY KEY, trip TEXT, amount INTEGER, state TEXT);
    """,
)

DECLINED = "4000000000000002"  # the number of a test card that payment providers decline


@payments.action("/payments")
def pay(db: Connection, payment: Any) -> Any:
    if payment["card"] == DECLINED:
        raise Refused("CARD_DECLINED")
    sql = "INSERT INTO payments (trip, amount, state) VALUES (?, ?, 'PAID')"
    db.execute(sql, (payment["trip"], payment["amount"]))
    return {"trip": payment["trip"], "amount": payment["amount"]}


@payments.compensation("/payments/refund")
def refund(db: Connection, undo: Any) -> None:
    db.execute("UPDATE payments SET state = 'REFUNDED' WHERE trip = ?", (undo["request"]["trip"],))


if __name__ == "__main__":
    main(trips, flights, hotels, cars, payments)
