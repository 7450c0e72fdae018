"""What an author writes: the saga language, read, checked, and seen as a graph. `rules` projects it."""
