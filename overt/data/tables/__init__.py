"""The one reader of tables: what a source names, the rows of its files, and which column holds what.

`sources` takes `FILE:COLUMN`, Hub ids and run folders apart; `files` and `json_values` read rows;
`columns` finds the column of each role by its name and by the kind of its values (`kinds`); `layouts`
lists the published tables that are known.
"""
