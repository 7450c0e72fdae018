"""Saga choreography: the pure core. Decides; never touches network, disk, clock, chance or environment."""
