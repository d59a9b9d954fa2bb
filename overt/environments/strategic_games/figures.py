"""The figures of strategic games: results, revisions in both readings, settings, and correlations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from overt.data.episodes import Episode
from overt.data.results.episodes import Column, Figure, Row, Section
from overt.environments.strategic_games.counting import ALL, Sums, Tally, defined, tallied
from overt.scoring.stats import spearman

Tallies = Mapping[str, Mapping[str, Tally]]

_RESULTS = (
    Column("win_rate", "win rate", "WR: rounds won, of the rounds after its own revisions.", "gain"),
    Column("over_budget", "over budget", "OBR: plans over budget, of the same rounds.", "cost"),
    Column(
        "slope",
        "slope",
        "beta: the least-squares slope of wins over those rounds, in wins a round; the mean over matches.",
        "gain",
    ),
    Column("opening", "opening over", "Matches whose first opening was over budget.", "cost"),
    Column("refused", "refused", "Matches in which the model or the service refused.", "cost"),
)
_REVISIONS = (
    Column(
        "released_correction",
        "changed (cost)",
        "ORR as released: plans that cost something else than the one after the revision before; the first "
        "revision is compared with nothing.",
    ),
    Column("meant_correction", "changed (plan)", "ORR as meant: revisions that changed the plan."),
    Column(
        "released_success",
        "success (cost)",
        "CSR as released: rounds won, of those with a changed cost.",
        "gain",
    ),
    Column(
        "meant_success",
        "success (plan)",
        "CSR as meant: changed plans that removed an overrun or turned a loss into a win.",
        "gain",
    ),
    Column(
        "needless",
        "needless",
        "Ours: plans that were changed, of those that had won the last round within budget.",
        "cost",
    ),
)
_SETTINGS = _RESULTS[:3]

_COUNTED = (
    "Only rounds after a revision of the target's own count, never round 1. Rounds of matches that were "
    "refused or are missing are in no rate; they stand beside it as missing. Intervals are over settings of "
    "a match (game, side, order, opponent)."
)
_POOLED = (
    "Shares are of all rounds together; the paper's are plain means over files, and count as 0 what is "
    "undefined here."
)
_READINGS = (
    "As released, a revision counts where the cost changed; as meant, where the plan changed. A figure that "
    "is undefined says why; the released evaluator would say 0."
)
_PUBLISHED = (
    "Published (arXiv 2506.12012, 12 models, 4,320 rounds; the rules differ, so these do not compare): "
    "o3-mini wins 74.7% with CSR 78.6%, slope +0.041 and no overrun; Qwen-Plus wins 25.6% with ORR 81.6%, "
    "CSR 24.3% and overruns in about half of the rounds; Gemini-2-Flash wins 15.8% in tower defence and "
    "49.2% in battle cards."
)
_PUBLISHED_R = (
    "Published over 12 models (the rules differ): r(ORR, CSR) -0.51, p 0.093 (-0.47 in a later version); "
    "r(ORR, WR) -0.468, p 0.125. Neither is significant at 0.05. The kind of correlation is not said."
)


def sections(episodes: Iterable[Episode], level: float) -> list[Section]:
    """All tables of a run; see `overt.data.environments.Environment.figures`."""
    found = tallied(episodes)
    tables = [
        Section(
            "strategic-results",
            "Results",
            _RESULTS,
            _rows(found, _RESULTS, _is_game, level),
            (_COUNTED, _POOLED, _PUBLISHED),
            "game",
        ),
        Section(
            "strategic-revisions",
            "Revisions, as released and as meant",
            _REVISIONS,
            _rows(found, _REVISIONS, _is_game, level),
            (_READINGS,),
            "game",
        ),
        Section(
            "strategic-settings",
            "By setting and opponent",
            _SETTINGS,
            _rows(found, _SETTINGS, lambda group: not _is_game(group), level),
            (),
            "setting",
        ),
    ]
    if len(found) >= 3:
        tables.append(_correlations(found, level))
    return tables


def _is_game(group: str) -> bool:
    return ", " not in group and not group.startswith("against ")


def _rows(
    found: Tallies, columns: tuple[Column, ...], wanted: Callable[[str], bool], level: float
) -> tuple[Row, ...]:
    return tuple(
        Row(target, group, tuple(_figure(column.id, tally, level) for column in columns))
        for target, groups in found.items()
        for group, tally in sorted(groups.items(), key=lambda item: _order(item[0]))
        if wanted(group)
    )


def _order(group: str) -> tuple[bool, bool]:
    """All games first, opponents last; what is alike stays in the order of the tasks."""
    return group != ALL, group.startswith("against ")


def _figure(name: str, tally: Tally, level: float) -> Figure:
    sums: Sums = getattr(tally, name)
    return sums.mean(level) if name == "slope" else sums.share(level)


def _correlations(found: Tallies, level: float) -> Section:
    columns = (
        Column("orr_csr", "ORR and CSR", "Spearman's correlation over targets."),
        Column("orr_wr", "ORR and WR", "Spearman's correlation over targets."),
    )
    rows = []
    for reading in ("released", "meant"):
        tallies = [groups[ALL] for groups in found.values()]
        changed = [getattr(tally, f"{reading}_correction").value for tally in tallies]
        success = [getattr(tally, f"{reading}_success").value for tally in tallies]
        wins = [tally.win_rate.value for tally in tallies]
        figures = (_correlation(changed, success, level), _correlation(changed, wins, level))
        rows.append(Row("all targets", f"as {reading}", figures))
    return Section(
        "strategic-correlations",
        "Do those that change more win less?",
        columns,
        tuple(rows),
        (_PUBLISHED_R,),
        "reading",
    )


def _correlation(one: list[float | None], other: list[float | None], level: float) -> Figure:
    """Over the targets for which both are defined."""
    pairs = [(x, y) for x, y in zip(one, other, strict=True) if x is not None and y is not None]
    missing = len(one) - len(pairs)
    if len(pairs) < 3:
        note = "defined for fewer than three targets"
        return Figure(None, n=len(pairs), missing=missing, unit="number", note=note)
    found = spearman([x for x, _ in pairs], [y for _, y in pairs], level=level)
    if (rho := defined(found.rho)) is None:
        return Figure(None, n=found.n, missing=missing, unit="number", note=found.note)
    note = f"p {found.p_value:.3f}"
    return Figure(rho, found.low, found.high, None, found.n, missing, "number", note)
