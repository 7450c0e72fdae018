"""An instance as people see it. It concludes nothing that `protocol` would decide."""
