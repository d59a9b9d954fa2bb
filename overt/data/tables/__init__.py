"""Reads tables.

`sources` parses `FILE:COLUMN`, Hub ids and run folders; `files`, `parquet` and `json_values` read `rows`;
`columns` finds the column of each role by its name and the kind of its values; `layouts` lists the known
published tables.
"""
