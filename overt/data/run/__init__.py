"""A run's folder: what stands where in it, how it is claimed, written and read back."""
