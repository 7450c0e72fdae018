"""The port `JetStream` without a server, for tests and simulations: one contract suite runs on both.

Streams, consumers as configurations, and stored messages; no deliveries: whoever hands those out stands beside it.
"""

from sagamesh_jetstream.client.memory.port import MemoryJetStream
from sagamesh_jetstream.client.memory.server import MemoryStreams, PageSizes

__all__ = ["MemoryJetStream", "MemoryStreams", "PageSizes"]
