"""A row of servers under a power budget, simulated after POLCA (arXiv 2308.12908).

server_model   what a server draws and how fast it is, by prompt, batch and frequency
load           the requests: a public trace, or a seeded generator
control        thresholds, caps and the brake
row            the simulation, event by event
measured       what is kept of a simulation: flat in memory
search         the largest row that keeps the limits, ranges of assumptions, the map
"""
