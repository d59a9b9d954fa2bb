"""A simulated Unix: a machine in memory (`machine.py`), and a small shell that works on it (`run.py`).

Nothing here reaches the real machine: paths, processes and users are entries of dictionaries.
"""
