"""Where the injector's certificate comes from: the Secret that the replicas share, or somebody else's directory.

What is to be renewed, and when, is decided in `certificates`. Here it is carried out, by any number of replicas at
once: each write says which version it changes, and whoever is too late looks again.
"""

from __future__ import annotations

import base64
import copy
import logging
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from sagamesh_jetstream.client.ports import JsonObject
from sagamesh_operator.injection.certificates import (
    CURRENT,
    Keyring,
    Pair,
    Schedule,
    authority,
    bundled,
    from_secret,
    is_pair,
    plan,
    to_secret,
)
from sagamesh_operator.ports import Objects

logger = logging.getLogger("sagamesh.injector")
WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
LOOKS = 5
"""How often to look when another replica was faster: each changes something once, and there are two or three."""


class NoCertificate(Exception):  # noqa: N818 - a state, which passes
    """There is none to serve now; the message says why."""


class Source(Protocol):
    """Where certificates come from."""

    async def look(self, now: datetime) -> Pair:
        """What is to be served from now on. Raises NoCertificate and ClusterUnavailable."""
        ...


class Directory:
    """Certificates of somebody else, such as cert-manager, who renews them, and keeps the webhook's `caBundle`."""

    def __init__(self, directory: Path) -> None:
        self._paths = [directory / name for name in CURRENT]

    async def look(self, now: datetime) -> Pair:  # noqa: ARG002 - the files are as they are
        try:
            pair = Pair(*(path.read_bytes() for path in self._paths))
        except OSError as error:
            raise NoCertificate(f"{error.filename} cannot be read: {error.strerror}") from error
        if not is_pair(pair):  # or it is being changed at this moment
            raise NoCertificate(f"{' and '.join(map(str, self._paths))} are no certificate and its key")
        return pair


class Keeper:
    """Our own certificates: keeps the Secret and the webhook's `caBundle`, and says what can be served."""

    def __init__(
        self, cluster: Objects, *, namespace: str, secret: str, webhook: str, name: str, schedule: Schedule
    ) -> None:
        self._cluster = cluster
        self._path = f"/api/v1/namespaces/{namespace}/secrets/{secret}"
        self._secret = secret
        self._webhook = webhook
        self._name = name
        self._schedule = schedule
        self._seen: dict[bytes, datetime] = {}

    async def look(self, now: datetime) -> Pair:
        for _ in range(LOOKS):
            pair = await self._look(now)
            if pair is not None:
                return pair
        raise NoCertificate(f"the Secret {self._secret}, or the webhook {self._webhook}, is changed all the time")

    async def _look(self, now: datetime) -> Pair | None:
        """None: somebody else has changed something meanwhile."""
        # In this order: what the Secret says is then newer than the webhook, which is only written if it is still that
        # version. So no replica ever takes back a CA that another one has published.
        webhook = await self._cluster.get(f"{WEBHOOKS}/{self._webhook}")
        if webhook is None:
            raise NoCertificate(f"there is no MutatingWebhookConfiguration {self._webhook}")
        known = bundled(base64.b64decode(_bundle(webhook)))
        keyring = await self._keyring(known, now)
        if keyring is None or not await self._publish(keyring, webhook):
            return None
        self._remember(keyring.bundle, known, now)
        return keyring.current

    async def _keyring(self, known: tuple[bytes, ...], now: datetime) -> Keyring | None:
        """What the Secret holds, once it holds what it should."""
        secret = await self._cluster.get(self._path)
        if secret is None:  # a right to create it would be one to create any
            raise NoCertificate(f"there is no Secret {self._secret}, which is installed empty: install it again")
        held = from_secret(secret.get("data") or {})
        wanted = plan(held, now, self._name, self._schedule, settled=self._settled(held, known, now))
        if wanted == held:
            return held
        if await self._cluster.replace(self._path, secret | {"data": to_secret(wanted)}) is None:
            return None
        logger.info("certificates changed", extra={"stage": "next" if wanted.next else "current"})
        return wanted

    async def _publish(self, keyring: Keyring, webhook: JsonObject) -> bool:
        """Let the API servers know the bundle; whether they do."""
        bundle = to_secret(keyring)["ca.crt"]
        changed = copy.deepcopy(webhook)
        for each in changed["webhooks"]:
            each["clientConfig"]["caBundle"] = bundle
        if changed == webhook:
            return True
        return await self._cluster.replace(f"{WEBHOOKS}/{self._webhook}", changed) is not None

    def _settled(self, held: Keyring, known: tuple[bytes, ...], now: datetime) -> bool:
        """Whether every API server has had the time to learn the CA of the next generation."""
        signer = held.next and authority(held.next, known)
        since = self._seen.get(signer) if signer else None
        return since is not None and now - since >= self._schedule.settle

    def _remember(self, bundle: tuple[bytes, ...], known: tuple[bytes, ...], now: datetime) -> None:
        """Since when we have seen each CA in the webhook; one that had to be put back counts anew."""
        self._seen = {one: self._seen.get(one, now) if one in known else now for one in bundle}


def _bundle(webhook: JsonObject) -> str:
    """What all of its entries trust; nothing where they differ."""
    bundles: set[Any] = {each["clientConfig"].get("caBundle", "") for each in webhook["webhooks"]}
    return bundles.pop() if len(bundles) == 1 else ""
