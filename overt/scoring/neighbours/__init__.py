"""Near-duplicates among many rows: short keys propose pairs, exact scores decide, a walk keeps."""
