"""The two banks of this example. They run the same code, each on a database of its own.

Each is a process of its own:

    python services.py north --port 9001 --db north.db
    python services.py south --port 9002 --db south.db

Money is in one of three places: in an account, on the way (a debit that is ON_THE_WAY), or in the other bank.
"""

import sys
from pathlib import Path
from sqlite3 import Connection
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))  # participant.py, which all examples share, lies one folder up
from participant import Participant, Refused, main, need

ACCOUNTS = 10
OPENING = 5_000

TABLES = """
CREATE TABLE IF NOT EXISTS accounts (
    id TEXT PRIMARY KEY, opening INTEGER, balance INTEGER CHECK (balance >= 0), state TEXT
);
CREATE TABLE IF NOT EXISTS debits (transfer TEXT PRIMARY KEY, account TEXT, amount INTEGER, state TEXT);
CREATE TABLE IF NOT EXISTS credits (transfer TEXT PRIMARY KEY, account TEXT, amount INTEGER);
"""


def bank(name: str) -> Participant:
    """A bank with accounts `<name>-1`, `<name>-2`..., of which the last one is closed."""
    states = ["OPEN"] * (ACCOUNTS - 1) + ["CLOSED"]
    rows = ", ".join(f"('{name}-{n}', {OPENING}, {OPENING}, '{state}')" for n, state in enumerate(states, 1))
    one = Participant(name, f"{TABLES} INSERT OR IGNORE INTO accounts VALUES {rows};")
    one.action("/debits")(debit)
    one.compensation("/debits/return")(give_back)
    one.action("/debits/settle")(settle)
    one.action("/credits")(credit)
    return one


# -- the payer's bank ----------------------------------------------------------------------------------------------


def debit(db: Connection, transfer: Any) -> Any:
    """Take the money from the account, if it is there. From here on it is on the way, and nobody can spend it."""
    need(transfer, **{"transferId": str, "from": str, "to": str, "amount": int})
    if not 0 < transfer["amount"] <= 1_000_000:
        raise Refused("INVALID: the amount must be from 1 to 1000000")
    need_open(db, transfer["from"])
    move(db, transfer["from"], -transfer["amount"])
    enter(db, "INSERT INTO debits VALUES (?, ?, ?, 'ON_THE_WAY') ON CONFLICT DO NOTHING", transfer, "from")
    return {"transferId": transfer["transferId"], "debited": transfer["amount"]}


def give_back(db: Connection, undo: Any) -> None:
    """Undo a debit. The account may have been closed since: the money is its owner's all the same."""
    transfer = undo["request"]
    move(db, transfer["from"], transfer["amount"])
    db.execute("UPDATE debits SET state = 'RETURNED' WHERE transfer = ?", (transfer["transferId"],))


def settle(db: Connection, credited: Any) -> Any:
    db.execute("UPDATE debits SET state = 'ARRIVED' WHERE transfer = ?", (credited["transferId"],))
    return {"transferId": credited["transferId"]}


# -- the payee's bank ----------------------------------------------------------------------------------------------


def credit(db: Connection, transfer: Any) -> Any:
    """Give the money to the payee, for good: this is the pivot, so no transfer ever takes a credit back."""
    need_open(db, transfer["to"])
    move(db, transfer["to"], transfer["amount"])
    enter(db, "INSERT INTO credits VALUES (?, ?, ?) ON CONFLICT DO NOTHING", transfer, "to")
    return {"transferId": transfer["transferId"], "credited": transfer["amount"]}


# -- both ----------------------------------------------------------------------------------------------------------


def need_open(db: Connection, account: str) -> None:
    state = db.execute("SELECT state FROM accounts WHERE id = ?", (account,)).fetchone()
    if state is None:
        raise Refused("UNKNOWN_ACCOUNT")
    if state != ("OPEN",):
        raise Refused("ACCOUNT_CLOSED")


def move(db: Connection, account: str, amount: int) -> None:
    """Into the account, or out of it (below zero). One statement looks and takes: no balance is ever negative."""
    sql = "UPDATE accounts SET balance = balance + ?1 WHERE id = ?2 AND balance + ?1 >= 0"
    if not db.execute(sql, (amount, account)).rowcount:
        raise Refused("INSUFFICIENT_FUNDS")


def enter(db: Connection, sql: str, transfer: Any, side: str) -> None:
    """Write it down. A transfer is debited once and credited once, even if somebody starts it anew."""
    if not db.execute(sql, (transfer["transferId"], transfer[side], transfer["amount"])).rowcount:
        raise Refused("TRANSFER_EXISTS")


north, south = bank("north"), bank("south")

if __name__ == "__main__":
    main(north, south)
