"""The database of the snippets, and each of them as a service; where its tools are missing its tests are skipped."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import pytest

from support.processes import snippets
from support.processes.snippets import NoTools, Service, Serving
from support.servers import postgres
from support.servers.postgres import NoPostgres, Postgres

CUSTOMERS = """
CREATE TABLE customers (id TEXT PRIMARY KEY, credit_limit INTEGER NOT NULL, reserved INTEGER NOT NULL DEFAULT 0);
INSERT INTO customers VALUES ('alice', 1000), ('bob', 10), ('hung', 1000);
"""


def skip(why: Exception) -> None:
    """Or fail, where somebody has asked for these tests by REQUIRE_SNIPPETS."""
    if os.environ.get("REQUIRE_SNIPPETS", "") not in ("", "0"):
        pytest.fail(str(why), pytrace=False)
    pytest.skip(str(why))


@pytest.fixture(scope="session")
def database() -> Iterator[Postgres]:
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(postgres.serving())
        except NoPostgres as error:
            skip(error)
        yield server


@pytest.fixture(scope="module", params=snippets.SNIPPETS)
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def serve(language: str, database: Postgres) -> Serving:
    """A service of that language beside a new database, with the snippet's own text or a changed one."""

    @contextlib.contextmanager
    def serve(text: str = "") -> Iterator[Service]:
        database.run("DROP DATABASE IF EXISTS customers WITH (FORCE)")
        database.run("CREATE DATABASE customers")
        [answers, *_] = snippets.blocks("One table, three statements", "sql")
        database.run(answers + CUSTOMERS, "customers")
        snippet = snippets.SNIPPETS[language]
        with contextlib.ExitStack() as stack:
            try:
                service = stack.enter_context(snippets.serving(snippet, text or snippet.text, database.environment))
            except NoTools as error:
                skip(error)
            yield service

    return serve


@pytest.fixture(scope="module")
def service(serve: Serving) -> Iterator[Service]:
    with serve() as service:
        yield service
