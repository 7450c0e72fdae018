"""What a participant does about a delivery. The relay and `simulation`, which carry it out, are its neighbours."""
