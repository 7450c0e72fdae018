"""Who is served, by what a request says of itself."""

from __future__ import annotations

import pytest

from sagamesh_sidecar.web.asgi import AsgiMessage, Request, only_loopback
from sagamesh_sidecar.web.problems import ProblemError


async def nothing() -> AsgiMessage:
    return {"type": "http.disconnect"}


def request(origin: str, server: tuple[str, int] | None) -> Request:
    headers = [(b"host", b"localhost"), (b"origin", origin.encode())]
    scope = {"method": "GET", "raw_path": b"/", "query_string": b"", "headers": headers, "server": server}
    return Request(scope, nothing)


def test_a_page_whose_origin_names_no_port_comes_from_port_80() -> None:
    only_loopback(request("http://localhost", ("127.0.0.1", 80)))
    with pytest.raises(ProblemError):
        only_loopback(request("http://localhost", ("127.0.0.1", 3650)))


def test_a_connection_that_has_gone_has_no_port() -> None:
    with pytest.raises(ProblemError):
        only_loopback(request("http://localhost", None))
