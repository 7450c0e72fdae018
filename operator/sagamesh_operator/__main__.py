"""`sagamesh-operator`: checks Sagas and distributes their rules. Set by its environment, stopped by SIGTERM."""

from __future__ import annotations

import asyncio
import logging
import socket
import time

import kopf

from sagamesh.distribution import buckets
from sagamesh_jetstream.client.session import Session
from sagamesh_operator import handlers, probes
from sagamesh_operator.adapters import judging, kubernetes
from sagamesh_operator.exit_codes import exits
from sagamesh_operator.metrics import OperatorMetrics
from sagamesh_operator.sagas.reconciler import Reconciler
from sagamesh_operator.settings import OperatorSettings, from_environment

logger = logging.getLogger("sagamesh.operator")


async def serve(settings: OperatorSettings) -> None:
    """Run the operator until it is told to stop. Raises ClusterUnavailable where it cannot even begin."""
    async with kubernetes.connect() as cluster, judging.judging() as judge:
        installation = settings.installation or await cluster.identity()
        metrics = OperatorMetrics(
            connected=lambda: not session.problem, behind=lambda: reconciler.watching.behind(time.time())
        )
        session = Session(settings.nats, directory=settings.nats_dir)
        reconciler = Reconciler(
            session, cluster, metrics, installation=installation, judge=judge, resync=settings.resync
        )
        session.opened, session.lost = reconciler.connected, reconciler.disconnected
        session.listen(buckets.heartbeat_subjects(), reconciler.heard)

        def alive() -> str:
            return "the watch on Sagas is dead" if reconciler.watching.dead(time.time()) else ""

        def ready() -> str:
            return session.locked_out or ("" if reconciler.synced.is_set() else "the Sagas were not listed yet")

        async with (
            probes.serving(
                settings.http_host, settings.http_port, metrics=metrics.exposition, alive=alive, ready=ready
            ) as url,
            asyncio.TaskGroup() as group,
        ):
            logger.info("installation %s, metrics at %s/metrics", installation, url)
            tasks = [group.create_task(session.run()), group.create_task(reconciler.run())]
            await kopf.operator(
                registry=handlers.registry(reconciler),
                settings=handlers.settings(),
                clusterwide=True,
                standalone=True,
                identity=socket.gethostname(),  # type: ignore[arg-type]  # else the name of a user, who may have none
            )
            for task in tasks:
                task.cancel()


def configure(level: str) -> None:
    """JSON lines on standard error."""
    kopf.configure(log_format=kopf.LogFormat.JSON, log_refkey="saga")
    logging.getLogger().setLevel(level.upper())  # of its own, kopf has fewer levels than we do
    for noisy in ("kopf", "nats"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLogger().level))


def main() -> None:
    with exits("sagamesh-operator"):
        settings = from_environment()
        configure(settings.log_level)
        asyncio.run(serve(settings))


if __name__ == "__main__":
    main()
