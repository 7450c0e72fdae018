"""The sidecar: carries a participant's rules out on NATS JetStream and the app. Decides nothing by itself."""
