"""Adapters: one client library each, translating it to the ports. They never import each other."""
