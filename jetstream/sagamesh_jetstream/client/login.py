"""How sidecar and operator log in to NATS: by the files of one directory (`SAGAMESH_NATS_DIR`), a mounted Secret.

    nats.creds            a user's JWT and seed, as `nsc` writes them
    username, password
    token
    ca.crt                who signed the server's certificate; without it the system's own authorities count
    tls.crt, tls.key      the client's certificate

There may be any of them, but only one of the first three. They are read for each new connection, so that a Secret that
was changed is taken. Core may read no files, so it is told here what they mean.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nats.aio.client
from nats.aio.client import RawCredentials

CREDENTIALS, USERNAME, PASSWORD, TOKEN = "nats.creds", "username", "password", "token"
CA, CERTIFICATE, KEY = "ca.crt", "tls.crt", "tls.key"
FILES = (CREDENTIALS, USERNAME, PASSWORD, TOKEN, CA, CERTIFICATE, KEY)
PAIRS = ((USERNAME, PASSWORD), (PASSWORD, USERNAME), (CERTIFICATE, KEY), (KEY, CERTIFICATE))
PARTS = ("-----BEGIN NATS USER JWT-----", "-----BEGIN USER NKEY SEED-----")

REFUSALS = ("authorization", "authentication", "certificate", "handshake", "tlsv1", "sslv3", "credentials")
"""Words in what servers say of a login that they refuse; TLS tells it as an alert."""


class LoginError(Exception):
    """The login cannot be used, or was not taken. The text is a sentence for the one who can mend it."""


class NatsClient(nats.aio.client.Client):
    """nats-py's, that tells no secret in the clear: it would, to a server that asks for no TLS, whatever the URL."""

    def _connect_command(self) -> bytes:
        wanted = "tls" in self.options or (self._current_server and self._current_server.uri.scheme == "tls")
        if wanted and not self._server_info.get("tls_required"):
            raise LoginError("NATS does not ask for TLS, and without it nothing is told to it")
        try:
            command: bytes = super()._connect_command()
        except Exception as error:  # what nkeys and base64 say of a seed that is none
            raise LoginError(f"{CREDENTIALS} cannot be used: {str(error) or type(error).__name__}") from error
        return command


async def options(directory: str) -> dict[str, Any]:
    """What nats-py's `connect` takes; nothing where no directory is set. Raises LoginError."""
    return await asyncio.to_thread(_options, Path(directory)) if directory else {}


def explained(error: BaseException, directory: str) -> LoginError | None:
    """What a failed attempt to connect says about the login; None: nothing."""
    if isinstance(error, LoginError):
        return error
    words = str(error) or type(error).__name__
    where = f"look at the files in {directory}" if directory else "set SAGAMESH_NATS_DIR"
    if isinstance(error, ssl.SSLCertVerificationError):
        return LoginError(f"the certificate of NATS is not trusted ({error.verify_message}): {where}, {CA} above all")
    if isinstance(error, ssl.SSLError) or any(word in words.lower() for word in REFUSALS):
        return LoginError(f"NATS does not take the login ({words.removeprefix('nats: ')}): {where}")
    return None


def _options(folder: Path) -> dict[str, Any]:
    contents = {name: _read(folder / name) for name in FILES if (folder / name).exists()}
    _check(folder, contents)
    login: dict[str, Any] = {}
    if CREDENTIALS in contents:
        login["user_credentials"] = RawCredentials(contents[CREDENTIALS])
    if USERNAME in contents:
        login |= {"user": contents[USERNAME], "password": contents[PASSWORD]}
    if TOKEN in contents:
        login["token"] = contents[TOKEN]
    if CA in contents or CERTIFICATE in contents:
        login["tls"] = _tls(folder, contents)
    return login


def _read(path: Path) -> str:
    """Without the end of a line, which an editor leaves there."""
    try:
        text = path.read_text().rstrip("\r\n")
    except OSError as error:
        raise LoginError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise LoginError(f"{path} is no text") from None
    if not text:
        raise LoginError(f"{path} is empty")
    return text


def _check(folder: Path, contents: Mapping[str, str]) -> None:
    if not folder.is_dir():
        raise LoginError(f"SAGAMESH_NATS_DIR is {folder}, and there is no such directory")
    if not contents:
        raise LoginError(f"{folder} has none of the files {', '.join(FILES)}")
    for name, other in PAIRS:
        if name in contents and other not in contents:
            raise LoginError(f"{folder} has a file {name}, but no {other}")
    if len(logins := [name for name in (CREDENTIALS, USERNAME, TOKEN) if name in contents]) > 1:
        raise LoginError(f"{folder} has {' and '.join(logins)}: one login is enough")
    if CREDENTIALS in contents and not all(part in contents[CREDENTIALS] for part in PARTS):
        raise LoginError(f"{folder / CREDENTIALS} does not hold a user's JWT and seed")


def _tls(folder: Path, contents: Mapping[str, str]) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cadata=contents.get(CA))
    except ssl.SSLError as error:
        raise LoginError(f"{folder / CA} holds no certificate that can be used: {error.reason or error}") from error
    if CERTIFICATE in contents:
        try:
            context.load_cert_chain(folder / CERTIFICATE, folder / KEY)
        except (ssl.SSLError, OSError) as error:
            raise LoginError(f"{folder}: {CERTIFICATE} and {KEY} cannot be used together: {error}") from error
    return context
