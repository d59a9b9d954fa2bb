"""The statistics of a run, as pure functions over plain sequences.

    rates       a proportion with its interval: Wilson's, of clustered rows (seeds) on n / design effect
    paired      two targets on the same prompts; Holm's correction
    ranks       Spearman's correlation with its interval
    agreement   kappa and alpha between judges; majority vote
    sweep       ROC and operating point of anything that yields a score
    gates       pass / fail / undecided by an interval
    power       how many prompts it takes to pass
    simulated_power  the same by simulated data sets, with the clusters of a small run, and for differences
    totals, pace     what a run to come takes, by a small one
    two_phase   a rate that labels of a sample correct
    tails       Student's t, the binomial distribution and midranks, which all of these share

Bad input (shapes that differ, NaN, nothing at all) is a ValueError that says what and where. Importing
this package loads numpy only.
"""

from overt.scoring.stats.agreement import Majority, cohen_kappa, fleiss_kappa, krippendorff_alpha, majority
from overt.scoring.stats.gates import Gate, gate
from overt.scoring.stats.paired import PairedDifference, holm, holm_level, paired_difference
from overt.scoring.stats.ranks import Correlation, spearman, spearman_interval
from overt.scoring.stats.rates import (
    DesignEffect,
    Rate,
    design_effect,
    effective_sample_size,
    rate,
    wilson,
)
from overt.scoring.stats.sweep import AUC, OperatingPoint, Sweep, auc, operating_point, threshold_sweep

__all__ = [
    "AUC",
    "Correlation",
    "DesignEffect",
    "Gate",
    "Majority",
    "OperatingPoint",
    "PairedDifference",
    "Rate",
    "Sweep",
    "auc",
    "cohen_kappa",
    "design_effect",
    "effective_sample_size",
    "fleiss_kappa",
    "gate",
    "holm",
    "holm_level",
    "krippendorff_alpha",
    "majority",
    "operating_point",
    "paired_difference",
    "rate",
    "spearman",
    "spearman_interval",
    "threshold_sweep",
    "wilson",
]
