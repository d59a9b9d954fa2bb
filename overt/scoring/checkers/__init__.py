"""Image checkers, one per file."""
