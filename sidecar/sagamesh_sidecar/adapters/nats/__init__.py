"""The log on NATS JetStream. Nobody outside needs more of this package than `NatsLog` and its `Timing`.

    log         ports.Log: puts and reads, put together from the rest
    puller      keeps pulls open on one consumer, and hands out what comes

What both stand on is `sagamesh_jetstream.client`: the connection, one inbox for all replies, the server's time.
A client that lost its server is never revived but replaced. nats-py can reconnect by itself, but that is a second path
to the same place, with traps of its own (it may hang, go deaf, give up); replacing has to work anyway, for the client
that is closed for good by an expired password, and the one that is deaf while it says that it is connected.
"""

from sagamesh_jetstream.client.connection import Timing
from sagamesh_sidecar.adapters.nats.log import NatsLog

__all__ = ["NatsLog", "Timing"]
