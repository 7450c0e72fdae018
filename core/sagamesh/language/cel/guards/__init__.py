"""What an expression may find missing, and whether it asks before. What it finds there is `selection`'s, next door."""
