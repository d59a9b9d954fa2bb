"""The metrics of strategic games over logs that were worked out by hand, and their figures."""

import pytest

from overt.data.episodes import Episode
from overt.environments.strategic_games.environment import StrategicGames
from overt.environments.strategic_games.metrics import (
    NEVER_AHEAD,
    NO_CHANGES,
    NO_ROUNDS,
    ONE_ROUND,
    Count,
    Round,
    Slope,
    as_meant,
    as_released,
    needless,
    slope_of,
)

# number, own revision, plan, cost (of a budget of 10), won
FIRST = [
    (1, True, "a", 12, False),
    (2, True, "b", 9, True),  # changed; removes the overrun
    (3, False, "b", 9, False),
    (4, True, "c", 9, True),  # changed at the same cost; turns a loss into a win
    (5, False, "c", 9, True),
    (6, True, "d", 8, False),  # changed though it had won
    (7, False, "d", 8, False),
    (8, True, "d", 8, False),  # not changed
    (9, False, "d", 8, True),
    (10, True, "e", 11, False),  # changed though it had won, and over
]
SECOND = [
    (1, True, "a", 10, True),
    (2, False, "a", 10, False),
    (3, True, "b", 11, True),  # changed, over, and wins by the other's greater overrun
    (4, False, "b", 11, True),
    (5, True, "c", 10, True),  # changed; removes the overrun
    (6, False, "c", 10, True),
]


def rounds(rows):
    return [Round(number, own, plan, cost, 10, win) for number, own, plan, cost, win in rows]


def test_as_released_by_hand():
    found = as_released(rounds(FIRST), moves_first=True)  # rounds 2, 4, 6, 8, 10
    assert found.win_rate == Count(2, 5)
    assert found.over_budget == Count(1, 5)
    assert found.correction == Count(2, 4)  # 9 9 8 8 11
    assert found.success == Count(0, 2)  # lost in rounds 6 and 10: a rate of 0, which is defined
    assert found.slope == Slope(pytest.approx(-0.3), 5)  # (-2 -1) / 10


def test_as_meant_by_hand():
    found = as_meant(rounds(FIRST))
    assert (found.win_rate, found.over_budget) == (Count(2, 5), Count(1, 5))
    assert found.correction == Count(4, 5)
    assert found.success == Count(2, 4)
    assert found.slope == Slope(pytest.approx(-0.3), 5)
    assert needless(rounds(FIRST)) == Count(2, 2)  # of rounds 6 and 10


def test_who_moves_second_by_hand():
    released, meant = as_released(rounds(SECOND), moves_first=False), as_meant(rounds(SECOND))  # 3 and 5
    assert released.win_rate == Count(2, 2)
    assert released.over_budget == Count(1, 2)
    assert released.correction == Count(1, 1)
    assert released.success == Count(1, 1)
    assert released.slope == Slope(0.0, 2)
    assert meant.correction == Count(2, 2)
    assert meant.success == Count(2, 2)  # a loss into a win; an overrun removed
    # It won round 4 over budget, so it had something to mend.
    assert needless(rounds(SECOND)) == Count(0, 0, NEVER_AHEAD)


def test_no_revision_leaves_everything_undefined():
    for log in ([], rounds(FIRST[:1])):
        for found in (as_released(log, True), as_meant(log)):
            assert found.win_rate == found.over_budget == Count(0, 0, NO_ROUNDS)
            assert found.win_rate.share is None
            assert found.slope == Slope(None, 0, ONE_ROUND)
            assert found.correction.share is None
            assert found.success.share is None
        assert needless(log).share is None


def test_one_revision_has_no_slope_and_no_correction_as_released():
    log = rounds(FIRST[:2])
    released, meant = as_released(log, True), as_meant(log)
    assert released.win_rate == Count(1, 1)
    assert released.correction == released.success == Count(0, 0, ONE_ROUND)
    assert released.slope == Slope(None, 1, ONE_ROUND)
    assert (meant.correction, meant.success) == (Count(1, 1), Count(1, 1))


def test_no_change_leaves_success_undefined_and_not_0():
    log = [Round(number, number % 2 == 0, "a", 9, 10, False) for number in range(1, 11)]
    for found in (as_released(log, True), as_meant(log)):
        assert found.correction.share == 0
        assert found.success == Count(0, 0, NO_CHANGES)
        assert found.slope.value == 0


@pytest.mark.parametrize(
    ("wins", "slope"),
    [([0, 1], 1.0), ([1, 0], -1.0), ([0, 0, 1], 0.5), ([0, 1, 0], 0.0), ([0, 0, 1, 1], 0.4)],
)
def test_slopes_by_hand(wins, slope):
    assert slope_of([bool(win) for win in wins]) == Slope(pytest.approx(slope), len(wins))


# -- figures -------------------------------------------------------------------------------------------------


def episode(target, rows, state="ended", *, moves="first", opponent="greedy", side="reds", tries=1, total=10):
    log = [
        {"round": number, "own": own, "plan": plan, "cost": cost, "budget": 10, "win": win}
        for number, own, plan, cost, win in rows
    ]
    task = {"game": "stones", "side": side, "moves": moves, "opponent": opponent, "rounds": total}
    facts = {"rounds": log, "tries": tries, "plans": {}}
    name = f"{target}/{moves}/{opponent}/{side}"
    return Episode(
        name, name, target, 0, 1, "strategic-games", "benign", "stones", name, state, task=task, facts=facts
    )


def figures(episodes, section, target, group):
    found = next(s for s in StrategicGames().figures(iter(episodes), 0.95) if s.id == f"strategic-{section}")
    row = next(row for row in found.rows if (row.target, row.group) == (target, group))
    return dict(zip([column.id for column in found.columns], row.figures, strict=True))


MATCHES = [
    episode("one", FIRST),
    episode("one", SECOND, moves="second", total=6, tries=3),
    episode("one", FIRST[:3], "refused", opponent="counter"),
    episode("one", FIRST[:5], "missing", opponent="thrifty"),
    episode("one", FIRST[:6], "capped", side="blues"),
]


def test_results_count_what_was_played_and_say_what_was_not():
    found = figures(MATCHES, "results", "one", "all games")
    # Rows after own revisions: 5 + 2 + 3 (capped); 5 each were not played by the refused and the missing one,
    # and 2 by the capped one.
    assert (found["win_rate"].k, found["win_rate"].n, found["win_rate"].missing) == (2 + 2 + 2, 10, 12)
    assert (found["over_budget"].k, found["over_budget"].n) == (1 + 1 + 0, 10)
    assert found["win_rate"].low < 0.6 < found["win_rate"].high
    assert (found["refused"].k, found["refused"].n, found["refused"].missing) == (1, 4, 1)
    # FIRST opens over budget, SECOND needed three tries.
    assert (found["opening"].k, found["opening"].n, found["opening"].missing) == (3, 3, 2)
    slopes = [-0.3, 0.0, -0.5]  # of wins 1 1 0 0 0, 1 1 and 1 1 0
    assert found["slope"].value == pytest.approx(sum(slopes) / 3)
    assert (found["slope"].n, found["slope"].unit) == (3, "number")
    assert found["slope"].low < found["slope"].value < found["slope"].high


def test_revisions_stand_in_both_readings():
    found = figures(MATCHES[:2], "revisions", "one", "stones")
    counted = {name: (figure.k, figure.n) for name, figure in found.items()}
    assert counted == {
        "released_correction": (3, 5),
        "released_success": (1, 3),
        "meant_correction": (6, 7),
        "meant_success": (4, 6),
        "needless": (2, 2),
    }


def test_a_target_that_always_refused_has_no_rate_of_its_play():
    matches = [episode("no", [], "refused", opponent=name, tries=1) for name in ("greedy", "counter")]
    found = figures(matches, "results", "no", "all games")
    assert (found["refused"].k, found["refused"].n) == (2, 2)
    for name in ("win_rate", "over_budget", "slope", "opening"):
        assert found[name].value is None
        assert found[name].note
        assert found[name].low is None
    assert found["win_rate"].missing == 10
    assert all(figure.value is None for figure in figures(matches, "revisions", "no", "stones").values())


def test_no_interval_is_made_of_what_does_not_vary():
    one = figures([episode("a", FIRST)], "results", "a", "stones")["slope"]
    assert (one.value, one.low, one.note) == (pytest.approx(-0.3), None, "no interval: one setting only")
    alike = [episode("a", FIRST), episode("a", FIRST, side="blues")]
    two = figures(alike, "results", "a", "stones")["slope"]
    assert (two.value, two.low, two.note) == (
        pytest.approx(-0.3),
        None,
        "no interval: all settings are alike",
    )


def test_the_order_of_the_matches_does_not_matter():
    mirrored = StrategicGames().figures(iter(MATCHES[::-1]), 0.95)[0]
    assert mirrored.rows[0] == StrategicGames().figures(iter(MATCHES), 0.95)[0].rows[0]


def wins(target, changes, wins):
    """A match with so many changes of cost in four revisions after the first, and so many wins in five."""
    rows = [(1, True, "0", 5, False)]
    for index in range(5):
        plan = min(index, changes)
        rows += [
            (2 * index + 2, True, str(plan), 5 + plan, index < wins),
            (2 * index + 3, False, str(plan), 5, False),
        ]
    return episode(target, rows[:10])


def test_correlations_need_three_targets():
    two = [wins("a", 1, 4), wins("b", 2, 3)]
    assert not any(s.id == "strategic-correlations" for s in StrategicGames().figures(iter(two), 0.95))
    three = [*two, wins("c", 3, 1)]
    found = figures(three, "correlations", "all targets", "as released")
    assert found["orr_wr"].value == pytest.approx(-1)
    assert found["orr_wr"].n == 3
    still = [*two, wins("c", 0, 1)]  # no change: its CSR is undefined, and two are left
    found = figures(still, "correlations", "all targets", "as released")
    assert found["orr_csr"].value is None
    assert (found["orr_csr"].n, found["orr_csr"].missing) == (2, 1)
    assert found["orr_wr"].value is not None


def test_the_published_figures_stand_with_their_warning():
    results = StrategicGames().figures(iter(MATCHES), 0.95)[0]
    assert any("74.7%" in text and "do not compare" in text for text in results.text)
