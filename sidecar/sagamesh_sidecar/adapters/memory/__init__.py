"""The log in memory, for tests and small demos: a server's worth of streams and consumers, and logs that talk to it.

It takes the very configurations of `sagamesh.distribution.topology` and behaves as JetStream does (one contract suite
runs over both), in one event loop, without persistence. What a server on a network may do to its clients, a test can
ask for: `lose_replies`, `stale`, `down`, `up` and `forget_leases`.
"""

from sagamesh_sidecar.adapters.memory.log import MemoryLog
from sagamesh_sidecar.adapters.memory.server import MemoryServer
from sagamesh_sidecar.adapters.memory.store import MemoryStore

__all__ = ["MemoryLog", "MemoryServer", "MemoryStore"]
