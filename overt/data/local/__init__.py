"""Local models: devices, batches, loading."""
