"""One way to speak to NATS: log in, connect, ask, and tell a dead connection from a slow one. Below `upkeep`."""
