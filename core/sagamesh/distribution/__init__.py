"""What must stand in NATS before a saga runs: streams, consumers, documents. `sagamesh_jetstream` puts it there."""
