"""How a pod gets its sidecar: a webhook, its patch and its certificate. It needs neither kopf nor NATS."""
