"""The folder of a run: its files, and how it is claimed, written and read."""
