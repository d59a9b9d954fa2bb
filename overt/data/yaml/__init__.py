"""Reads a YAML file into the model of its schema, or raises an error with every problem and its place.

`tree` parses text into nodes with line and column, `values` turns nodes into Python values, `schema` has the
base of the models and validates, `words` translates pydantic's errors, and `problems` collects them.
"""
