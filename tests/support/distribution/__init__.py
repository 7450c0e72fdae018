"""Operators, sidecars, people and a NATS in one process, in virtual time, by one seed."""
