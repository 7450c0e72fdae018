"""What can be wrong with the place where a sidecar runs. Each text is one sentence for the one who can mend it."""

from __future__ import annotations


class PortError(Exception):
    """A port that the sidecar should listen on cannot be had."""


class DrainError(Exception):
    """The sidecar did not drain in time."""


class NoSidecarError(Exception):
    """No sidecar is there that could drain."""
