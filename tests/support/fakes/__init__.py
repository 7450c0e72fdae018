"""Public fakes behind the product's ports, in memory. What is real is in `servers` and `processes`."""
