"""Local models in other processes: `--workers N` on this machine, `--workers ray` by Ray.

In the driver a stand-in has the model's name and facts (overt/workers/stand_ins.py). Whole batches go to a
seat of the crew (overt/workers/crew.py), where a worker gives them to the model itself
(overt/workers/worker.py). Journal, store and results stay with the driver.
"""
