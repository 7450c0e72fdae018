"""Processes that tests start and kill: the product's, the examples', and shells."""
