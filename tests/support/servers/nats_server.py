"""The product's embedded server, and what crashes do to one."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from typing import Any

from sagamesh_cli.local.nats_server import EmbeddedServer
from sagamesh_jetstream.client.session import connect

GRACE = 0.5
"""Seconds between a lame duck's notice and the first client that it sends away; the product's default is ten."""


class NatsServer(EmbeddedServer):
    """A nats-server that can be killed and paused. Port and data survive; `stop` also ends one that is paused."""

    @property
    def participants_url(self) -> str:
        """Where sidecars find it."""
        return self.url

    async def ready(self) -> None:
        """Wait until JetStream takes requests: a lone server does as soon as it has started."""

    def _config(self) -> dict[str, Any]:
        lame = {"lame_duck_grace_period": f"{GRACE}s", "lame_duck_duration": "30s"}
        return super()._config() | lame

    def kill(self) -> None:
        """SIGKILL, and nothing else: a server that had died before is a failure."""
        self.process.kill()
        assert self.process.wait() == -signal.SIGKILL

    def pause(self) -> None:
        stand_still(self.pid)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def retire(self) -> None:
        """Make it a lame duck: it hands over what it leads, sends its clients away, and ends."""
        self.process.send_signal(signal.SIGUSR2)

    def restart(self) -> None:
        """Stop it, if it runs, and start it on the same port and data."""
        self.stop()
        self.start()

    def stop(self) -> None:
        if self.running:
            self.resume()
        super().stop()


class GovernedServer(NatsServer):
    """A server whose config may change while it runs: what sidecars may not publish, and what their account may hold.

    Tests come in as an administrator, without a login; sidecars are `guest`, of the same account.
    """

    denied: tuple[str, ...] = ()
    limits: dict[str, int] | None = None

    @property
    def participants_url(self) -> str:
        return self.url.replace("//", "//guest:g@")

    async def reload(self) -> None:
        """Make `denied` and `limits` count, without a restart."""
        before = self._reloads()
        config = self.directory / "nats-server.conf"
        config.write_text(json.dumps(json.loads(config.read_text()) | self._governed()))
        os.kill(self.pid, signal.SIGHUP)
        async with asyncio.timeout(10):
            while self._reloads() == before:
                await asyncio.sleep(0.01)

    def _reloads(self) -> int:
        words = self._log.read_text()
        assert "Failed to reload" not in words, words
        return words.count("Reloaded server configuration")

    def _config(self) -> dict[str, Any]:
        return super()._config() | self._governed()

    def _governed(self) -> dict[str, Any]:
        rights = {"publish": {"deny": list(self.denied)}} if self.denied else {}
        users = [{"user": "admin", "password": "a"}, {"user": "guest", "password": "g", "permissions": rights}]
        account = {"users": users, "jetstream": self.limits or "enabled"}
        return {"accounts": {"SHOP": account}, "no_auth_user": "admin"}


def stand_still(child: int) -> None:
    """Stop the process, and wait until all of it stands: the signal alone leaves it a moment, in which it answers."""
    os.kill(child, signal.SIGSTOP)
    os.waitid(os.P_PID, child, os.WSTOPPED)


def emptied(server: EmbeddedServer) -> EmbeddedServer:
    """A server that several tests share, without anything that those before have left: a new one takes longer."""

    async def empty() -> None:
        async with connect(server.url) as js:
            for name in (await js.api("STREAM.NAMES"))["streams"] or ():
                await js.api(f"STREAM.DELETE.{name}")

    asyncio.run(empty())
    return server
