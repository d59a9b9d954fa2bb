"""The one reader of YAML: a file becomes a schema's model, or an error with every problem and its place.

`tree` turns text into nodes that know line and column, `values` turns nodes into Python values, `schema`
holds what schemas are made of, `read` validates, `words` says plainly what pydantic found, and `problems`
collects it.
"""
