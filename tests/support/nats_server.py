"""The product's embedded server, and what crashes do to one."""

from __future__ import annotations

import os
import signal

from sagamesh_cli.embedded import EmbeddedServer


class NatsServer(EmbeddedServer):
    """A nats-server that can be killed and paused. Port and data survive; `stop` also ends one that is paused."""

    def kill(self) -> None:
        """SIGKILL, and nothing else: a server that had died before is a failure."""
        self.process.kill()
        assert self.process.wait() == -signal.SIGKILL

    def pause(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def restart(self) -> None:
        """Stop it, if it runs, and start it on the same port and data."""
        self.stop()
        self.start()

    def stop(self) -> None:
        if self.running:
            self.resume()
        super().stop()
