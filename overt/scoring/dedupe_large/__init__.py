"""Dedupe of more texts than a memory holds, on this machine or on many: what stays is what stays in memory.

Texts, signatures and candidates lie in files of a folder that every machine sees. `steps.py` has the steps as
functions of that folder, `engines.py` runs them here or by Ray Data, `search.py` puts them together.
"""
