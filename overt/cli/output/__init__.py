"""What the commands print for people: tables, lines, and what to do next. `--json` is for programs."""
