"""Places orders at the sidecar beside it, one in three with a card that is declined: `shopper.py PREFIX COUNT`.

It stops after so many, or when it gets SIGTERM, and says as one line of JSON how they ended. It takes no second try: an
order that is not taken, or that does not end as it must within a minute, is wrong.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
import threading
import urllib.error
import urllib.request
from collections import Counter

CUSTOMERS = 6
PAUSE = 0.2  # seconds between two orders of one customer
GOOD, DECLINED = "4242424242424242", "4000000000000002"
ended: Counter[str | None] = Counter()
wrong: list[str] = []
closed = threading.Event()


def order(key: str, card: str, expected: str) -> None:
    data = {
        "orderId": key,
        "consumerId": "alice",
        "restaurantId": "ajanta",
        "dishes": ["dal"],
        "total": 12,
        "card": card,
    }
    event = {"ce-specversion": "1.0", "ce-id": key, "ce-source": "shopper", "ce-type": "order.placed"}
    url = f"{os.environ['SAGAMESH_URL']}/v1/events?wait=60s"
    request = urllib.request.Request(url, json.dumps(data).encode(), event | {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=90) as answer:
            [entry] = json.load(answer)["instances"]
        state = (entry["instance"] or {}).get("state")
        ended[state] += 1
        if state != expected:
            wrong.append(f"{key} is not {expected}: {entry}")
    except urllib.error.HTTPError as error:
        wrong.append(f"{key}: {error.code} {error.read().decode()}")
    except OSError as error:
        wrong.append(f"{key}: {error!r}")


def shop(prefix: str, numbers: itertools.count[int], count: int) -> None:
    while not closed.is_set() and (number := next(numbers)) < count:
        bad = number % 3 == 2
        order(f"{prefix}-{number}", DECLINED if bad else GOOD, "compensated" if bad else "completed")
        closed.wait(PAUSE)


def opened() -> bool:
    """Whether the sidecar knows the saga: it may have been told a moment after this pod began."""
    try:
        urllib.request.urlopen(f"{os.environ['SAGAMESH_URL']}/v1/sagas/bulk-order/none", timeout=10)
    except urllib.error.HTTPError as error:
        return bool(json.load(error)["code"] == "unknown-instance")
    return True


def main(prefix: str, count: str) -> None:
    signal.signal(signal.SIGTERM, lambda *_: closed.set())
    while not opened():
        closed.wait(PAUSE)
    numbers = itertools.count()
    customers = [threading.Thread(target=shop, args=(prefix, numbers, int(count))) for _ in range(CUSTOMERS)]
    for customer in customers:
        customer.start()
    for customer in customers:
        customer.join()
    print(json.dumps({**ended, "wrong": wrong}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
