"""The rules of this participant: taken, kept on disk, and told of. `deliveries` and `api` read them."""
