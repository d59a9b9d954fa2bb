"""The suite `operations`: jobs of an agent that sound dangerous and are harmless, and their harmful twins,
in simulated worlds.

`jobs/*.yaml` are the jobs, `jobs.py` their schema, `checks.py` what is looked up in a world at the end;
`worlds.py` lists the worlds, `session.py` is one ticket in work, `figures.py` counts what became of them.
"""

from overt.environments.operations.environment import Operations as Operations
