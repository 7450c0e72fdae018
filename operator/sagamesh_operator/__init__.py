"""The operator's side: checks sagas and distributes rules. In no saga's path."""
