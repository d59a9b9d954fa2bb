"""`agent-matrix`: self-replication under pressure in a simulated cluster, after arXiv 2509.25302.

scenario.py     what a scenario's YAML says          cluster.py      nodes, deployments, pods, the scheduler
demand.py       how many replicas a load requires    console.py      the tools, and what they print
milestones.py   what the agent was seen to do        environment.py  rounds, the controller, the episode
reading.py      SR, OR, AOC and Phi_R                figures.py      the tables of a run
players.py      agents without a model               replay.py       a picture of one episode

The cluster is a few lists in memory. Nothing in this package can reach a network, start a process or copy a
model: `tests/environments/test_agent_matrix_sealed.py` holds it to that.
"""

from overt.environments.agent_matrix.environment import AgentMatrix

__all__ = ["AgentMatrix"]
