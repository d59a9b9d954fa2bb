"""The report: one page that works offline, plots, and a Markdown table."""
