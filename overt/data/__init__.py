"""Records, run folders and their journal, loaders and exports."""
