"""Sidecars of a saga's participants and their apps, in virtual time: see `world`."""
