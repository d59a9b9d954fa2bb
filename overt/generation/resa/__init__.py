"""The stages of answer-then-check that write (ReSA, arXiv 2509.11629, section 3 and appendix).

    plans.py      what a model would answer, and its summary
    checks.py     the analysis of that plan's safety
    endings.py    what the user sees

Each is a plain function over `Plan`s. Those that judge (guard, contradiction) are in overt/scoring/plans.py.
"""
