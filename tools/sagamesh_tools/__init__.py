"""What makes the files that are shipped: resource, reference, dashboard, manifests. It is in no wheel and no image."""
