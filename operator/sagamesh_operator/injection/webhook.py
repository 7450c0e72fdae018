"""`sagamesh-injector`: gives pods that take part in sagas their sidecar, when the API server asks.

Set by its environment, stopped by SIGTERM. What it answers is decided in `review` and `patch`; its certificates come
from `certificate_store`. Any number of replicas may run.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import ssl
import sys
import tempfile
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import web
from pythonjsonlogger.json import JsonFormatter

from sagamesh import durations
from sagamesh_operator.adapters import kubernetes
from sagamesh_operator.exit_codes import exits
from sagamesh_operator.injection.certificate_store import Directory, Keeper, NoCertificate, Source
from sagamesh_operator.injection.certificates import Pair, Schedule
from sagamesh_operator.injection.container import Installation
from sagamesh_operator.injection.events import Remark
from sagamesh_operator.injection.metrics import InjectorMetrics
from sagamesh_operator.injection.recorder import Recorder
from sagamesh_operator.injection.review import Unreadable, answer
from sagamesh_operator.injection.settings import InjectorSettings, from_environment
from sagamesh_operator.ports import ClusterUnavailable, Objects
from sagamesh_operator.probes import listening, serving

logger = logging.getLogger("sagamesh.injector")
LARGEST = 4 * 1024 * 1024
"""Bytes of a review: the API server takes Pods of 3 MiB, and what it wraps around one is a bit more."""
NATIVE_SINCE = (1, 29)
"""The version of Kubernetes from which on native sidecars need no feature gate."""
LOOK = 10.0
"""Seconds between looks at the certificates, at most: what another replica has made is served soon."""


class Injector:
    """The webhook. `context`: for its TLS; a certificate that is loaded later is used for connections from then on.

    `hear`: takes what is to be told of a pod, at once.
    """

    def __init__(self, installation: Installation, hear: Callable[[Remark], None] = lambda _: None) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.metrics = InjectorMetrics(expiry=lambda: self._pair.expiry.timestamp() if self._pair else 0.0)
        self.problem = "there is no certificate yet"
        self.stopping = False
        self._installation = installation
        self._hear = hear
        self._pair: Pair | None = None

    def use(self, pair: Pair) -> None:
        """Serve this certificate. Connections that stand are not touched. Raises ssl.SSLError."""
        if pair != self._pair:
            load(self.context, pair)
            self._pair = pair
            logger.info("certificate loaded", extra={"expires": pair.expiry.isoformat()})

    def ready(self) -> str:
        if self.stopping:
            return "it is being stopped"
        if self._pair is None:
            return self.problem
        return "" if self._pair.expiry > datetime.now(UTC) else f"the certificate has expired: {self.problem}"

    def listening(self, host: str, port: int) -> AbstractAsyncContextManager[int]:
        """The port on which it is served, for as long as the block lasts. Raises OSError where it cannot be had."""
        app = web.Application(client_max_size=LARGEST)
        app.router.add_post("/inject", self._inject)
        return listening(app, host, port, self.context)

    async def _inject(self, request: web.Request) -> web.Response:
        try:
            given = answer(await request.read(), self._installation)
        except (Unreadable, web.HTTPRequestEntityTooLarge) as error:
            self.metrics.answered("unreadable")
            logger.warning("unreadable review: %s", error)
            status = error.status if isinstance(error, web.HTTPRequestEntityTooLarge) else 400
            return web.Response(status=status, text=f"{error}\n")
        self.metrics.answered(given.result)
        if given.why:
            logger.info("refused", extra={"why": given.why})
        if given.remark:
            self._hear(given.remark)
        response = web.json_response(given.review)
        if self.stopping:
            response.force_close()  # so that the API server's next question goes to another replica
        return response


def load(context: ssl.SSLContext, pair: Pair) -> None:
    """OpenSSL reads certificates and keys from files only. Raises ssl.SSLError."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "pair.pem"
        path.write_bytes(pair.key + b"\n" + pair.certificate)
        context.load_cert_chain(path)


async def serve(settings: InjectorSettings) -> None:
    """Run until SIGTERM or SIGINT. Raises ClusterUnavailable and OSError where it cannot even begin."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with kubernetes.connect() as cluster:
        recorder = Recorder(cluster, cluster.instance)
        injector = Injector(await installation(settings, cluster), recorder.hear)
        probes = serving(
            settings.http_host,
            settings.http_port,
            metrics=injector.metrics.exposition,
            alive=lambda: "",
            ready=injector.ready,
        )
        webhook = injector.listening(settings.webhook_host, settings.webhook_port)
        async with probes as url, webhook as port, asyncio.TaskGroup() as group:
            logger.info("webhook on port %d, metrics at %s/metrics", port, url)
            tasks = [
                group.create_task(renew(injector, source(settings, cluster), settings.schedule)),
                group.create_task(recorder.run()),
            ]
            await stop.wait()
            injector.stopping = True
            await asyncio.sleep(durations.parse(settings.linger))
            for task in tasks:
                task.cancel()


async def renew(injector: Injector, certificates: Source, schedule: Schedule) -> None:
    """Look for certificates, for ever: what is served stays as it is while nothing can be learnt."""
    pause = min(LOOK, schedule.settle.total_seconds() / 3)
    while True:
        try:
            injector.use(await certificates.look(datetime.now(UTC)))
            injector.problem = ""
        except (NoCertificate, ClusterUnavailable, ssl.SSLError) as error:
            if str(error) != injector.problem:
                logger.warning("certificates cannot be looked after: %s", error)
            injector.problem = str(error)
        await asyncio.sleep(pause)


async def installation(settings: InjectorSettings, cluster: kubernetes.KubernetesCluster) -> Installation:
    """What sidecars of this cluster have in common. Raises ClusterUnavailable."""
    asked = settings.native_sidecar
    native = asked == "always" or (asked == "auto" and await cluster.version() >= NATIVE_SINCE)
    return Installation(
        image=settings.sidecar_image, nats=settings.nats, nats_secret=settings.nats_secret, native=native
    )


def source(settings: InjectorSettings, cluster: Objects) -> Source:
    """Where this injector has its certificates from."""
    if settings.certificate_dir:
        return Directory(Path(settings.certificate_dir))
    return Keeper(
        cluster,
        namespace=settings.namespace,
        secret=settings.ca_secret,
        webhook=settings.webhook,
        name=settings.dns_name,
        schedule=settings.schedule,
    )


def configure(level: str) -> None:
    """JSON lines on standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonFormatter(
            "%(asctime)s %(levelname)s %(name)s %(message)s", rename_fields={"asctime": "time", "levelname": "level"}
        )
    )
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def main() -> None:
    with exits("sagamesh-injector"):
        settings = from_environment()
        configure(settings.log_level)
        asyncio.run(serve(settings))


if __name__ == "__main__":
    main()
