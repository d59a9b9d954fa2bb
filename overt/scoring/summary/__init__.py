"""The statistics of a run. `metrics` says what each rate counts, `summarize` makes them all.

Nothing is imported here: who reads the names of the metrics needs no numpy.
"""
