"""Text against token: what a model with refusal tokens says behind each of them, and whether it uses them at
all."""

from __future__ import annotations

import numpy as np

from overt.data.results.calibration import BySide, TokenFacts
from overt.scoring.calibration.columns import COMPLIED, REFUSED, UNKNOWN, ScoredRows
from overt.scoring.stats.inputs import Ints
from overt.scoring.summary.rows import Bools, Settings
from overt.scoring.token_gates import LEAST_MASS


def facts_of(rows: ScoredRows, settings: Settings) -> TokenFacts:
    """How the tokens are used, over all scored rows. Each rate is over the rows where that continuation was
    asked for and judged."""

    def by_side(state: Ints, hit: Bools) -> BySide:
        known = state != UNKNOWN
        sides = [known & ~rows.unsafe, known & rows.unsafe]
        return BySide(*(settings.share((hit[which], rows.cluster[which])) for which in sides))

    pairs = list(zip(rows.mass.tolist(), rows.cluster.tolist(), strict=True))
    return TokenFacts(
        refused_in_words=by_side(rows.below, rows.below == REFUSED),
        answered_anyway=by_side(rows.above, rows.above == COMPLIED),
        mass=settings.mean(pairs, (0.0, 1.0)),
        thin=settings.share((rows.mass < LEAST_MASS, rows.cluster)),
        bounds=int(rows.bound.sum()),
        one_sided=int(np.logical_xor(rows.above == UNKNOWN, rows.below == UNKNOWN).sum()),
        rows=len(rows),
    )
