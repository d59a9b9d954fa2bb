"""Records, the run store and its journal, loaders and exports."""
