"""Whether a sidecar is ready, and started, judged by what its parts say: `app` gathers that, and `probes` answers."""

from __future__ import annotations


def unready(*, closed: str, connected: bool, locked_out: str, refused: str, loaded: bool) -> str:
    """Why nobody should count on the sidecar just now; empty: it is ready.

    `closed`: why no deliveries are asked for any more. `connected`: NATS answers; `locked_out`: why it takes no login;
    `refused`: what it has lately refused for want of rights. `loaded`: rules were read.
    """
    if closed:
        return closed
    if not connected:
        return locked_out or "NATS does not answer"
    if refused:  # acks may go nowhere, and deliveries come again and again
        return f"NATS refuses what a sidecar needs; {refused}"
    return "" if loaded else "the rules were not read yet"


def unstarted(*, bound: bool) -> str:
    """Why the sidecar cannot be asked anything yet; empty: it can. `bound`: it has its ports."""
    return "" if bound else "the API is not bound yet"
