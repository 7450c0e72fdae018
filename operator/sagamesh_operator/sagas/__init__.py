"""What becomes of a Saga resource: accepted, distributed, its status. `sagamesh_jetstream` acts on NATS for it."""
