"""Whether a sidecar is ready, and started, judged by what its parts say: `app` gathers that, and `probes` answers."""

from __future__ import annotations

from collections.abc import Collection

from sagamesh.api_group import APP_PORT_ANNOTATION
from sagamesh.text import listed

APPLESS = f"the sidecar was given no app to call; set SAGAMESH_APP, or annotate the pod with {APP_PORT_ANNOTATION}"
"""Why a participant that owns steps cannot do any of them; `app` logs it, too."""


def unready(
    *, closed: str, connected: bool, locked_out: str, refused: str, loaded: bool, unserved: Collection[str] = ()
) -> str:
    """Why nobody should count on the sidecar just now; empty: it is ready.

    `closed`: why no deliveries are asked for any more. `connected`: NATS answers; `locked_out`: why it takes no login;
    `refused`: what it has lately refused for want of rights. `loaded`: rules were read.
    `unserved`: sagas in which this participant owns steps, without an app that could do them.
    """
    if closed:
        return closed
    if not connected:
        return locked_out or "NATS does not answer"
    if refused:  # acks may go nowhere, and deliveries come again and again
        return f"NATS refuses what a sidecar needs; {refused}"
    if not loaded:
        return "the rules were not read yet"
    return f"the steps of {listed(sorted(unserved))} wait: {APPLESS}" if unserved else ""


def unstarted(*, bound: bool) -> str:
    """Why the sidecar cannot be asked anything yet; empty: it can. `bound`: it has its ports."""
    return "" if bound else "the API is not bound yet"
