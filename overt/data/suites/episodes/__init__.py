"""Suites of many turns: one YAML each, which names an environment. `load.py` reads them."""
