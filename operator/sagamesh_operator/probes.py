"""What the operator serves: `/metrics` for Prometheus, `/livez` and `/readyz` for the kubelet."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web

Probe = Callable[[], str]
"""Empty: all is well. Else why not."""


@asynccontextmanager
async def serving(
    host: str, port: int, *, metrics: Callable[[], tuple[bytes, str]], alive: Probe, ready: Probe
) -> AsyncIterator[str]:
    """The URL that is served, for as long as the block lasts. Raises OSError where the port cannot be had."""

    async def show_metrics(_: web.Request) -> web.Response:
        body, kind = metrics()
        return web.Response(body=body, headers={"content-type": kind})

    def probe(ask: Probe) -> Callable[[web.Request], object]:
        async def answer(_: web.Request) -> web.Response:
            why_not = ask()
            return web.Response(status=503 if why_not else 200, text=f"{why_not or 'ok'}\n")

        return answer

    app = web.Application()
    app.router.add_get("/metrics", show_metrics)
    for path, ask in (("/livez", alive), ("/readyz", ready)):
        app.router.add_get(path, probe(ask))  # type: ignore[arg-type]
    async with listening(app, host, port) as taken:
        yield f"http://127.0.0.1:{taken}"


@asynccontextmanager
async def listening(
    app: web.Application, host: str, port: int, context: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """The port on which an app is served, for as long as the block lasts. Raises OSError where it cannot be had."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, ssl_context=context).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
