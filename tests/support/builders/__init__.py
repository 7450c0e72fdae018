"""Sagas, pods, orders and attempts in a few words each, and what must come of them."""
