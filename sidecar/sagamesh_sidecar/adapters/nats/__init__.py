"""The log on NATS JetStream. Nobody outside needs more of this package than `NatsLog` and its `Timing`.

`log` is ports.Log: puts and reads, made of `sagamesh_jetstream.client`. `puller` keeps pulls open on one consumer, and
hands out what comes.
"""

from sagamesh_jetstream.client.connection import Timing
from sagamesh_sidecar.adapters.nats.log import NatsLog

__all__ = ["NatsLog", "Timing"]
