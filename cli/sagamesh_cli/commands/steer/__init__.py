"""Commands that start or stop an instance, by a sidecar's API."""
