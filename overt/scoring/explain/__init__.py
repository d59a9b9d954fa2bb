"""Which words of a prompt a target refuses: the parts of `overt explain` that ask nothing.

units.py cuts a text into words or phrases and takes some out; search.py finds the smallest edit that flips a
decision; terms.py counts over prompts; changes.py compares two runs.
"""
