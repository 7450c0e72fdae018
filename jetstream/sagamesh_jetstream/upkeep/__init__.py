"""What must stand in NATS, and what must go, put there by the `client`. `sagamesh.distribution` plans it."""
