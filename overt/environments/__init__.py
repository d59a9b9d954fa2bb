"""Environments: suites of many turns. Each is a file or a folder here, and a YAML in
`overt/data/suites/episodes/`.

`overt.data.environments` has their protocol. What they do to the world is simulated: no environment opens a
socket, starts a process or writes a file (`tests/environments/test_simulated.py` holds them to that).
"""
