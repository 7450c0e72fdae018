"""A small HTTP server with bounds: it knows no saga. `api` is what it serves."""
