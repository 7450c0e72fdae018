"""All that speaks to NATS, for everybody. What must stand there it learns of `sagamesh`; it knows no pod."""
