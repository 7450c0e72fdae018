"""Servers that tests speak to: NATS, Kubernetes, Prometheus, and where their programs come from."""
