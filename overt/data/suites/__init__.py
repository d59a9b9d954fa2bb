"""Published suites of text and of pictures: one YAML each, no code."""
