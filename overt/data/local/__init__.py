"""Models of this machine: devices, batches, loading."""
