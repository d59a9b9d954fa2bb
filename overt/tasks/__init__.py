"""What the commands do: one file a command, the work from start to finish in reading order."""
