"""The snippets of docs/participants.md do what the page promises, each on a real PostgreSQL."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from support.processes.snippets import SNIPPETS, Answer, Service, Serving
from support.servers.postgres import Postgres

ORDER = {"orderId": "o-1", "customerId": "alice", "total": 300}
DECLINED = Answer(422, {"detail": "INSUFFICIENT_CREDIT"})
UNDONE = Answer(200, None)
RUNS = itertools.count(1)
REPETITIONS = 12
"""More than the pool of any snippet has: that of pg has 10."""


@pytest.fixture
def step() -> str:
    """A step whose key nobody has had."""
    return f"shop/checkout/o-1/run-{next(RUNS)}/reserve"


@pytest.fixture
def reserved(database: Postgres, service: Service) -> None:
    """Nothing of earlier tests stands in the books."""
    database.run("UPDATE customers SET reserved = 0", "customers")


def booked(database: Postgres, customer: str = "alice") -> int:
    [total] = database.run(f"SELECT reserved FROM customers WHERE id = '{customer}'", "customers")
    return int(total)


def act(service: Service, step: str, order: object = ORDER, timeout: float = 30.0) -> Answer:
    return service.call("/credit/reserve", f"{step}/action", order, timeout)


def is_reserved(answer: Answer) -> bool:
    return answer.status == 200 and answer.body["reserved"] == ORDER["total"]


def undo(service: Service, step: str) -> Answer:
    body = {"request": ORDER, "result": None, "cause": {"kind": "refused"}}
    return service.call("/credit/release", f"{step}/compensation", body)


@pytest.mark.usefixtures("reserved")
def test_the_same_key_twice_has_one_effect_and_one_answer(service: Service, database: Postgres, step: str) -> None:
    first, second = act(service, step), act(service, step)
    assert is_reserved(first)
    assert first == second
    assert booked(database) == 300


@pytest.mark.usefixtures("reserved")
def test_the_same_key_at_once_has_one_effect_and_one_answer(service: Service, database: Postgres, step: str) -> None:
    with ThreadPoolExecutor(3) as pool:
        assert all(map(is_reserved, pool.map(lambda _: act(service, step), range(3))))
    assert booked(database) == 300


@pytest.mark.usefixtures("reserved")
def test_a_refusal_is_recorded_whatever_is_true_later(service: Service, database: Postgres, step: str) -> None:
    order = {**ORDER, "customerId": "bob"}
    assert act(service, step, order) == DECLINED
    database.run("UPDATE customers SET credit_limit = 1000 WHERE id = 'bob'", "customers")
    assert act(service, step, order) == DECLINED
    database.run("UPDATE customers SET credit_limit = 10 WHERE id = 'bob'", "customers")
    assert booked(database, "bob") == 0


@pytest.mark.usefixtures("reserved")
def test_a_compensation_undoes_once(service: Service, database: Postgres, step: str) -> None:
    act(service, step)
    assert [undo(service, step), undo(service, step)] == [UNDONE, UNDONE]
    assert booked(database) == 0


@pytest.mark.usefixtures("reserved")
def test_an_action_that_comes_after_its_compensation_fails_and_does_nothing(
    service: Service, database: Postgres, step: str
) -> None:
    assert undo(service, step) == UNDONE
    assert act(service, step).status == 410
    assert booked(database) == 0


@pytest.mark.usefixtures("reserved")
def test_what_goes_wrong_in_the_code_is_recorded_by_nobody(service: Service, database: Postgres, step: str) -> None:
    database.run("ALTER TABLE customers RENAME TO clients", "customers")
    assert act(service, step).status == 500
    database.run("ALTER TABLE clients RENAME TO customers", "customers")
    assert is_reserved(act(service, step))


def hanging(language: str, *, lock: str, idle: str) -> str:
    """The snippet with a work that hangs once, and other time-outs than the page has."""
    text = SNIPPETS[language].hanging
    for setting, ours in (("lock_timeout=2s", lock), ("idle_in_transaction_session_timeout=10s", idle)):
        assert text.count(setting) == 1
        text = text.replace(setting, f"{setting.partition('=')[0]}={ours}")
    return text


def hang(service: Service, step: str) -> Answer | None:
    """A call that is given up on by its sidecar, as it hangs, or waits for one that does."""
    with suppress(TimeoutError):
        return act(service, step, {**ORDER, "customerId": "hung"}, timeout=1.0)
    return None


def test_a_call_that_hangs_and_its_repetitions_stall_no_other(
    serve: Serving, language: str, database: Postgres, step: str
) -> None:
    with serve(hanging(language, lock="200ms", idle="5min")) as service:
        assert hang(service, step) is None
        with ThreadPoolExecutor(REPETITIONS) as pool:
            list(pool.map(lambda _: hang(service, step), range(REPETITIONS)))
        assert is_reserved(act(service, f"{step}-of-alice"))
        [hung] = database.run("SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'")
        assert int(hung) == (language != "Go")  # whose context has rolled it back


def test_a_call_that_hangs_is_done_by_a_repetition(
    serve: Serving, language: str, database: Postgres, step: str
) -> None:
    with serve(hanging(language, lock="200ms", idle="1s")) as service:
        assert hang(service, step) is None
        while (answer := hang(service, step)) is None or answer.status == 500:
            pass
        assert is_reserved(answer)
        assert booked(database, "hung") == 300
