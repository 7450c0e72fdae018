"""What the app and people may ask of this sidecar about sagas. `web` serves it."""
