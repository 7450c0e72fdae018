"""Deliveries in, core's attempts carried out, settled. It knows no HTTP; the ports are its neighbours."""
