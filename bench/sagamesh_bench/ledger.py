"""A service that answers at once and keeps books, for the soak: every step's effect is there as often as it must be.

python -m sagamesh_bench.ledger READY_FILE
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import uvloop
from msgspec import json

from sagamesh_bench import app
from sagamesh_bench.sagas import REFUSE

BOOKS = "/books"


class Books:
    """What was done and undone, by the idempotency key of the step."""

    def __init__(self) -> None:
        self.done: dict[str, bool] = {}

    def action(self, step: str) -> None:
        """An effect, unless it was done or undone before."""
        self.done.setdefault(step, True)

    def compensation(self, step: str) -> None:
        """Nothing is left, and nothing will come."""
        self.done[step] = False

    def totals(self) -> dict[str, dict[str, int]]:
        """How many effects of each step of each saga are there, and how many were undone."""
        counted: dict[str, Counter[str]] = {}
        for key, done in self.done.items():
            _, saga, _, _, step = key.split("/")
            counted.setdefault(f"{saga}/{step}", Counter())["done" if done else "undone"] += 1
        return {step: dict(totals) for step, totals in counted.items()}


BOOK = Books()


class Ledger(app.ScriptedService):
    """One connection of a service with books."""

    key = ""

    def on_header(self, name: bytes, value: bytes) -> None:
        """Of a request's headers only this one counts."""
        if name == b"idempotency-key":
            self.key = value.decode().strip('"')

    def on_message_complete(self) -> None:
        """Book it, and answer."""
        if self.url == BOOKS.encode():
            body = json.encode(BOOK.totals())
            self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
            return
        step, _, kind = self.key.rpartition("/")
        if kind == "compensation":
            BOOK.compensation(step)
        elif self.url != REFUSE.encode():
            BOOK.action(step)
        super().on_message_complete()


if __name__ == "__main__":
    uvloop.run(app.serve(Path(sys.argv[1]), Ledger))
