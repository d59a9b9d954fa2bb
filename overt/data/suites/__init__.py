"""Published text suites: one YAML each, no code."""
