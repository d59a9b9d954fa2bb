"""Text filters, one per file."""
