"""CEL: expressions compiled, bounded and evaluated. What an error means for a step is decided elsewhere."""
