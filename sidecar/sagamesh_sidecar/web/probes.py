"""The health port: probes for the kubelet and metrics for Prometheus. Texts say why not, for whoever runs `curl`."""

from __future__ import annotations

from collections.abc import Callable

from sagamesh_sidecar.web.asgi import Receive, Response, Scope, Send, answer

Probe = Callable[[], str]
"""Empty: all is well. Else why not."""

TEXT = "text/plain; charset=utf-8"


class Health:
    """An ASGI app. The probes are asked on the loop: one that hangs is not alive. `metrics`: body and content type."""

    def __init__(self, *, alive: Probe, ready: Probe, started: Probe, metrics: Callable[[], tuple[bytes, str]]) -> None:
        self._probes = {"/livez": alive, "/readyz": ready, "/startupz": started}
        self._metrics = metrics

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        await answer(send, self._respond(scope["method"], scope["path"]))

    def close(self) -> None:
        """Nothing waits here."""

    def _respond(self, method: str, path: str) -> Response:
        if path not in self._probes and path != "/metrics":
            return _text(404, f"there are {', '.join(self._probes)} and /metrics")
        if method not in ("GET", "HEAD"):
            return Response(405, b"only GET\n", TEXT, {"allow": "GET, HEAD"})
        if path == "/metrics":
            return Response(200, *self._metrics())
        why_not = self._probes[path]()
        return _text(503, why_not) if why_not else _text(200, "ok")


def _text(status: int, text: str) -> Response:
    return Response(status, f"{text}\n".encode(), TEXT)
