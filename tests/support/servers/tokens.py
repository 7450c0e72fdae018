"""Users by JWT, as `nsc` makes them: an operator's server config, and the credentials of a user."""

from __future__ import annotations

import base64
import json
import secrets
import time
from typing import Any

import nkeys

UNLIMITED = dict.fromkeys(("subs", "data", "payload", "imports", "exports", "conn", "leaf"), -1) | {"wildcards": True}


class Signer:
    """A pair of keys that vouches for others."""

    def __init__(self, kind: int) -> None:
        self.seed = nkeys.encode_seed(secrets.token_bytes(32), kind)
        self._pair = nkeys.from_seed(bytearray(self.seed))
        self.public = bytes(self._pair.public_key).decode()

    def vouch(self, subject: Signer, kind: str, **more: Any) -> str:
        """A token that says who somebody is."""
        claims = {"jti": secrets.token_hex(8), "iat": int(time.time()), "iss": self.public, "sub": subject.public}
        claims |= {"name": kind, "nats": {"type": kind, "version": 2, **more}}
        head = _encoded(json.dumps({"typ": "JWT", "alg": "ed25519-nkey"}).encode())
        text = f"{head}.{_encoded(json.dumps(claims).encode())}"
        return f"{text}.{_encoded(self._pair.sign(text.encode()))}"


class Tokens:
    """An operator with an account for everybody. `config`: what a server needs to know of it."""

    def __init__(self) -> None:
        operator = Signer(nkeys.PREFIX_BYTE_OPERATOR)
        self._account, system = Signer(nkeys.PREFIX_BYTE_ACCOUNT), Signer(nkeys.PREFIX_BYTE_ACCOUNT)
        accounts = {one.public: operator.vouch(one, "account", limits=UNLIMITED) for one in (self._account, system)}
        self.config = {
            "operator": operator.vouch(operator, "operator"),
            "resolver": "MEMORY",
            "resolver_preload": accounts,
            "system_account": system.public,
        }

    def credentials(self) -> str:
        """The file of a new user."""
        user = Signer(nkeys.PREFIX_BYTE_USER)
        limits = {"subs": -1, "data": -1, "payload": -1}
        return (
            f"-----BEGIN NATS USER JWT-----\n{self._account.vouch(user, 'user', **limits)}\n"
            "------END NATS USER JWT------\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{user.seed.decode()}\n------END USER NKEY SEED------\n"
        )


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
