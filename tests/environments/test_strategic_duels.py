"""Duels: every skill in a duel worked out by hand, the chart of elements, durations, and who wins."""

import pytest
from pydantic import ValidationError

from overt.environments.strategic_games.duels.fight import DEFENDERS, INVADERS, Fight
from overt.environments.strategic_games.duels.table import (
    DuelTable,
    Skill,
    Step,
    abilities,
    ability_of,
    table,
)

RULES = table().rules
WAIT = ability_of(Skill(name="wait", cost=1, steps=(Step(do="heal"),)), "X")


def hit(amount):
    return ability_of(Skill(name="hit", cost=1, steps=(Step(do="hit", amount=amount),)), "X")


def skill(name):
    """A skill by its name, "wait", or a plain hit of so many points."""
    if name == "wait":
        return WAIT
    if isinstance(name, int):
        return hit(name)
    return next(found[name] for found in abilities().values() if name in found)


def duel(invaders, defenders, *, rounds, health=100, start=None):
    """Characters as (element, skills), which they use in order before they wait. `start`: slot -> health."""
    sides = tuple(
        [(element, [*map(skill, names), *[WAIT] * 40]) for element, names in side]
        for side in (invaders, defenders)
    )
    fight = Fight(sides, RULES.model_copy(update={"rounds": rounds, "health": health}))
    for slot, points in (start or {}).items():
        fight.all[slot].health = points
    fight.run()
    return fight


# skill: the invader's skills, the defender's, rounds, both healths after them, and both healths before. The
# elements are made up, so that no chart applies. An invader acts first in each round.
CASES = {
    # 12, then 5 at the end of two rounds
    "flame_splash": (["flame_splash"], [], 3, (100, 78), (100, 100)),
    # 12 * 1.3 = 15.6, then 5 for burning; and 12 without more in the third round, with 10 for two layers
    "residual_warmth": (
        ["residual_warmth", "flame_splash", "flame_splash"], [], 3, (100, 100 - 15 - 5 - 12 - 10), (100, 100),
    ),
    "burst_flame_bomb": (["flame_splash", "burst_flame_bomb"], [], 2, (100, 100 - 17 - 29 - 5), (100, 100)),
    "flame_whirlwind": (["flame_whirlwind"], [], 4, (100, 25), (100, 100)),
    # 25, then 50 + 8 * 5, and nothing burns any more
    "magma_eruption": (
        ["flame_whirlwind", "magma_eruption"], [], 4, (1000, 1000 - 25 - 90), (1000, 1000),
    ),
    # 45; of three hits of 20 it absorbs 50 and returns them
    "hell_curtain": (["hell_curtain"], [20, 20, 20], 3, (90, 100 - 45 - 50), (100, 100)),
    "stream_pierce": (["stream_pierce", "whirlpool_strangle"], [], 2, (100, 100 - 10 - 26), (100, 100)),
    "water_barrier": (["water_barrier", "whirlpool_strangle"], [4, 4], 2, (97, 74), (100, 100)),
    "whirlpool_strangle": (["whirlpool_strangle"], [], 1, (100, 80), (100, 100)),
    # 20, then 20 * 1.6, then 20
    "ice_branded": (
        ["ice_branded", "whirlpool_strangle", "whirlpool_strangle"], [], 3, (100, 28), (100, 100),
    ),
    "tsunami_ending": (
        ["stream_pierce", "tsunami_ending", "whirlpool_strangle"], [], 3,
        (100, 100 - 10 - 48 - 20), (100, 100),
    ),
    # two layers: 10 of damage and a shield of 20
    "abyss_resonance": (
        ["stream_pierce", "stream_pierce", "abyss_resonance"], ["wait", "wait", 25], 3, (95, 70), (100, 100),
    ),
    # 30% of 14 is 4.2
    "shadow_claw": (["shadow_claw"], [], 1, (54, 86), (50, 100)),
    "fear_whisper": (["fear_whisper"], [20, 20, 20, 20], 4, (100 - 3 * 18 - 20, 100), (100, 100)),
    "soul_siphon": (["soul_siphon"], [], 1, (100, 20), (100, 50)),
    # 25, then 14 * 1.25 = 17.5
    "night_ambush": (["night_ambush", "shadow_claw"], [], 2, (100, 100 - 25 - 17), (100, 100)),
    # 45 lost are four tenths
    "final_announcement": (["final_announcement"], [], 1, (55, 100 - 55 - 32), (55, 100)),
    # pays 25, and 2.5 times as much is 62.5
    "void_assimilation": (["void_assimilation"], [], 1, (75, 38), (100, 100)),
    "bud_healing": ([], ["bud_healing"], 4, (100, 71), (100, 50)),
    "parasitic_seed": (
        ["wait", 20, 20, 20, 20], ["parasitic_seed"], 5, (1000 - 10 - 15, 1000 - 80), (1000, 1000),
    ),
    # 30 at once, then 7 * 1.15 = 8.05
    "life_totem": ([], ["life_totem", "bud_healing"], 2, (100, 58), (100, 20)),
    "natural_purification": (["flame_splash"], ["natural_purification"], 3, (60, 88), (100, 100)),
    # 30 of 80 have no room: a shield of 18
    "forest_reincarnation": (["wait", 20], ["forest_reincarnation"], 2, (70, 98), (100, 50)),
    "poison_vine": ([], ["poison_vine"], 6, (1000 - 4 * 35, 1000), (1000, 1000)),
    "rock_armor": (["wait", 20], ["rock_armor"], 2, (92, 92), (100, 100)),
    "earth_shock": ([], ["earth_shock"], 1, (80, 100), (100, 100)),
    "granite_barrier": (["wait", 20], ["granite_barrier"], 2, (100, 89), (100, 100)),
    # 15 at once and 15 back; the other 5 at the end of the next round
    "quicksand_trap": (["wait", 20], ["quicksand_trap"], 2, (85, 85), (100, 100)),
    # four tenths are lost: 40 of damage, and a shield of 40
    "earth_pulse": (["wait", 50], ["earth_pulse"], 2, (60, 50), (100, 60)),
    # 20 are stored, 24 come back; then nothing is stored
    "core_rebound": ([20], ["core_rebound", "core_rebound"], 2, (76, 80), (100, 100)),
    # clears the layer before it burns, heals 9, hits 9
    "holy_glimmer": (["flame_splash"], ["holy_glimmer"], 2, (91, 50 - 12 + 9), (100, 50)),
    # 16 and 3 healed of them, 10 back; then 20
    "faith_emblem": (["wait", 20, 20], ["faith_emblem"], 3, (90, 100 - 16 + 3 - 20), (100, 100)),
    "divine_link": (["wait", 20, 20], ["divine_link"], 3, (80, 80), (100, 100)),
    # the whisper is cleared; of 20 are 16 left in two rounds
    "luminous_dispel": (
        ["fear_whisper", 20, 20, 20], ["luminous_dispel", 10], 4, (90, 100 - 16 - 16 - 20), (100, 100),
    ),
    "angelic_sanctuary": (["wait", 50, 30, 50, 50], ["angelic_sanctuary"], 5, (100, 30), (100, 100)),
    "divine_sword": (
        [], ["divine_sword", "earth_shock", "earth_shock"], 3, (100 - 35 - 26 - 20, 100), (100, 100),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_every_skill_does_what_the_table_says(name):
    invader, defender, rounds, left, before = CASES[name]
    fight = duel(
        [("X", invader)], [("Y", defender)], rounds=rounds, health=max(before), start=dict(enumerate(before))
    )
    assert tuple(one.health for one in fight.all) == left


def test_no_skill_is_without_a_case():
    names = [one.name for element in table().elements for one in element.skills]
    assert len(names) == 36
    assert set(CASES) == set(names)


def test_costs_are_those_of_the_paper():
    for element in table().elements:
        assert [one.cost for one in element.skills] == [1, 1, 2, 3, 4, 5]


# The numbers of each skill as the paper has them; how long what it leaves lasts is in ROUNDS.
PAPER = {
    "flame_splash": [12, 1, 5], "residual_warmth": [30], "burst_flame_bomb": [25, 4],
    "flame_whirlwind": [5, 5], "magma_eruption": [50, 8], "hell_curtain": [45, 50],
    "stream_pierce": [10, 1], "water_barrier": [5, 1],
    "whirlpool_strangle": [20, 6], "ice_branded": [20, 60], "tsunami_ending": [40, 8],
    "abyss_resonance": [5, 10], "shadow_claw": [14, 30], "fear_whisper": [-10], "soul_siphon": [30, 25],
    "night_ambush": [25, 25], "final_announcement": [55, 8], "void_assimilation": [25, 250],
    "bud_healing": [7], "parasitic_seed": [10, 5], "life_totem": [30, 15], "natural_purification": [40],
    "forest_reincarnation": [80, 60, 30], "poison_vine": [35], "rock_armor": [12, 8], "earth_shock": [20],
    "granite_barrier": [-45], "quicksand_trap": [25, 15], "earth_pulse": [10, 10], "core_rebound": [120],
    "holy_glimmer": [9, 9], "faith_emblem": [-20, 20, 10], "divine_link": [], "luminous_dispel": [-20],
    "angelic_sanctuary": [-40], "divine_sword": [35, 30],
}  # fmt: skip
ROUNDS = {
    "flame_splash": 2, "residual_warmth": 1, "flame_whirlwind": 3, "hell_curtain": 3, "water_barrier": 3,
    "ice_branded": 1, "fear_whisper": 3, "night_ambush": 1, "bud_healing": 3, "parasitic_seed": 3,
    "life_totem": 3, "forest_reincarnation": 3, "poison_vine": 4, "rock_armor": 3, "granite_barrier": 3,
    "quicksand_trap": 3, "luminous_dispel": 2, "angelic_sanctuary": 3,
}  # fmt: skip
USES = {
    "residual_warmth": 1, "quicksand_trap": 4, "faith_emblem": 1, "divine_link": 1, "divine_sword": 1
}  # fmt: skip
_NUMBERS = (
    "amount", "each", "percent", "below_half", "layers", "dealt", "taken", "taken_flat", "healing", "damage",
    "mends", "back", "delays", "heals",
)  # fmt: skip


def numbers_of(part):
    return [value for name in _NUMBERS if (value := getattr(part, name, 0))]


@pytest.mark.parametrize("name", PAPER)
def test_numbers_are_those_of_the_paper(name):
    steps = [deed.step for deed in skill(name).deeds]
    found = [number for step in steps for part in (step, step.shield) for number in numbers_of(part)]
    assert sorted(found) == sorted(PAPER[name])
    assert {step.uses for step in steps} - {0} == ({USES[name]} if name in USES else set())
    assert all(step.returns in (0, 100) for step in steps)


@pytest.mark.parametrize("name", ROUNDS)
def test_what_a_skill_leaves_is_gone_after_the_last_of_its_turns(name):
    """It lasts until the end of the r-th next turn of who caused it: into round r + 1 for who acts first."""

    def left(rounds):
        sides = [("X", ["stream_pierce", name])], [("Y", [])]
        fight = duel(*sides, rounds=rounds + 1, health=1000, start={0: 950})
        return sum(bool(status.step.rounds) for one in fight.all for status in one.statuses)

    given = sum(bool(deed.step.rounds) for deed in skill(name).deeds)
    assert left(ROUNDS[name]) == given > 0
    assert left(ROUNDS[name] + 1) == 0


def test_all_others_leave_nothing_that_ends():
    lasting = {name for name in CASES if any(deed.step.rounds for deed in skill(name).deeds)}
    assert lasting == {*ROUNDS, "abyss_resonance"}  # which leaves nothing without layers
    assert {deed.step.rounds for deed in skill("abyss_resonance").deeds} == {0, 4}


# -- what the table does not show --------------------------------------------------------------------------


def healths(invader, defender, rounds, **options):
    return tuple(
        one.health for one in duel([("X", invader)], [("Y", defender)], rounds=rounds, **options).all
    )


def test_less_than_half_is_less_than_half():
    assert healths(["soul_siphon"], [], 1, start={1: 49}) == (100, 0)
    assert healths(["soul_siphon"], [], 1, start={1: 50}) == (100, 20)


def test_a_shield_lasts_as_many_turns_of_the_others_as_it_has_rounds():
    """The curtain of an invader is up in rounds 1 to 3, the armour of a defender in rounds 2 to 4."""
    assert healths(["hell_curtain"], ["wait", "wait", 20], 3) == (100, 35)
    assert healths(["hell_curtain"], ["wait", "wait", "wait", 20], 4) == (80, 55)
    assert healths(["wait", "wait", "wait", 20], ["rock_armor"], 4)[1] == 92
    assert healths(["wait", "wait", "wait", "wait", 20], ["rock_armor"], 5) == (100, 80)


def test_what_raises_the_next_hit_is_gone_after_the_next_turn():
    assert healths(["residual_warmth", "wait", 10], [], 3) == (100, 90)


def test_without_a_duration_a_status_waits_for_its_use():
    assert healths([], ["divine_sword", "wait", "wait", 10], 4)[0] == 100 - 35 - 13


def test_percentages_are_rounded_down_once():
    """5 * 1.3 * 1.6 = 10.4; rounded at each step it would be 9."""
    fight = duel([("X", ["residual_warmth", 5]), ("Z", ["ice_branded"])], [("Y", [])], rounds=2)
    assert fight.all[2].health == 100 - 20 - 10


def test_true_damage_knows_neither_shields_nor_percentages():
    assert healths(["wait", "void_assimilation"], ["granite_barrier"], 2)[1] == 38
    assert healths(["wait", "void_assimilation"], ["rock_armor"], 2) == (75, 38)


def test_no_layers_no_hit_and_no_shield():
    fight = duel([("X", ["abyss_resonance"])], [("Y", ["rock_armor", 10])], rounds=2)
    assert [one.health for one in fight.all] == [90, 100]


def test_thrown_back_damage_is_not_thrown_back_again():
    assert healths(["hell_curtain", 10], ["rock_armor"], 2) == (
        100,
        55,
    )  # 8 back, absorbed and returned: no hit
    assert healths(["hell_curtain", 10], ["rock_armor"], 2, start={0: 50}) == (50, 55)


def test_quicksand_holds_for_four_hits():
    """Two strikers: rounds 2 and 3 have four hits; in round 4 all of it falls at once."""
    strikers = [("X", ["wait", 20, 20, 20]), ("Z", ["wait", 20, 20, 20])]
    fight = duel(strikers, [("Y", ["quicksand_trap"])], rounds=4, health=1000)
    assert [one.health for one in fight.all] == [970, 970, 1000 - 6 * 20]
    assert not fight.all[2].statuses


def test_delayed_damage_falls_at_the_end_of_the_next_round():
    assert [healths(["wait", 20], ["quicksand_trap"], n)[1] for n in (2, 3, 4)] == [85, 80, 80]


def test_only_buffs_that_end_are_cleared():
    fight = duel([("X", ["stream_pierce"])], [("Y", ["luminous_dispel"])], rounds=1)
    assert fight.all[0].layers("tidal") == 1
    fight = duel([("X", ["fear_whisper"])], [("Y", ["luminous_dispel"])], rounds=1)
    assert [status.step.dealt for status in fight.all[0].statuses] == [-20]


def test_one_buff_is_one_and_the_oldest():
    fight = duel([("X", ["fear_whisper", "rock_armor"])], [("Y", ["wait", "luminous_dispel"])], rounds=2)
    assert [(one.step.taken, one.shield, one.step.back) for one in fight.all[0].statuses[:-1]] == [
        (0, 12, 0),
        (0, 0, 8),
    ]


def test_one_debuff_is_one_and_the_oldest():
    fight = duel([("X", ["flame_splash", "night_ambush"])], [("Y", ["wait", "holy_glimmer"])], rounds=2)
    assert [status.step.taken for status in fight.all[1].statuses] == [25]


def test_several_of_a_kind_add_up():
    assert healths(["flame_splash", "flame_splash"], [], 2)[1] == 100 - 17 - 12 - 10
    assert healths([], ["poison_vine", "poison_vine"], 2, health=1000)[0] == 1000 - 35 - 70


def test_skills_are_used_in_listed_order_and_then_anew():
    skills = [skill(name) for name in ("flame_splash", "residual_warmth", "burst_flame_bomb")]
    fight = Fight(([("X", skills)], [("Y", [WAIT])]), RULES.model_copy(update={"rounds": 4}), is_shown=True)
    fight.run()
    used = [frame.skill for frame in fight.frames if frame.actor == 0]
    assert used == ["flame_splash", "residual_warmth", "burst_flame_bomb", "flame_splash"]


# -- elements and order ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("striker", "struck", "damage"),
    [
        ("Fire", "Wood", 12), ("Wood", "Earth", 12), ("Earth", "Water", 12), ("Water", "Fire", 12),
        ("Wood", "Fire", 8), ("Earth", "Wood", 8), ("Water", "Earth", 8), ("Fire", "Water", 8),
        ("Light", "Dark", 15), ("Dark", "Light", 15),
        ("Fire", "Earth", 10), ("Water", "Wood", 10), ("Fire", "Light", 10), ("Dark", "Wood", 10),
        ("Fire", "Fire", 10), ("Dark", "Dark", 10),
    ],
)  # fmt: skip
def test_the_chart_of_elements(striker, struck, damage):
    fight = duel([(striker, [10])], [(struck, [])], rounds=1)
    assert fight.all[1].health == 100 - damage


def test_invaders_act_first_in_listed_order_on_the_first_living_opponent():
    fight = Fight(
        (
            [("A", [hit(60)]), ("B", [hit(60)])],
            [("C", [hit(1)]), ("D", [hit(1)])],
        ),
        RULES.model_copy(update={"rounds": 1}),
        is_shown=True,
    )
    fight.run()
    acts = [(frame.actor, frame.target) for frame in fight.frames if frame.skill]
    assert acts == [(0, 2), (1, 2), (3, 0)]  # C falls before its turn


def test_the_dead_leave_what_they_gave_for_as_long_as_it_lasts():
    """Y's poison is for four rounds; Y falls in the second."""
    sides = [("X", ["wait", 100])], [("Y", ["poison_vine"]), ("Z", [])]
    fight = duel(*sides, rounds=8, health=100, start={0: 100})
    assert fight.all[0].health == 0
    lasting = duel([("X", ["wait", 1000])], sides[1], rounds=8, health=1000)
    assert lasting.all[0].health == 1000 - 4 * 35


# -- who wins ------------------------------------------------------------------------------------------------


def winner(invaders, defenders, *, rounds=RULES.rounds, start=None):
    sides = tuple([(one, [*map(skill, names)]) for one, names in side] for side in (invaders, defenders))
    fight = Fight(sides, RULES.model_copy(update={"rounds": rounds}))
    for slot, points in (start or {}).items():
        fight.all[slot].health = points
    return fight.run(), fight.round


def test_the_side_that_is_left_wins():
    assert winner([("X", [50])], [("Y", [30])]) == (INVADERS, 2)
    assert winner([("X", [30])], [("Y", [50])]) == (DEFENDERS, 2)
    assert winner([("X", [50])], [("Y", [50])]) == (INVADERS, 2)  # who acts first


def test_both_gone_at_the_end_of_a_round_is_a_win_of_the_invaders():
    sides = [("X", ["flame_whirlwind"])], [("Y", ["poison_vine"])]
    assert winner(*sides, start={0: 5, 1: 5}) == (INVADERS, 1)
    assert winner(*sides, start={0: 5, 1: 50}) == (DEFENDERS, 1)


def test_no_characters():
    assert winner([], []) == (INVADERS, 0)
    assert winner([], [("Y", [1])]) == (DEFENDERS, 0)
    assert winner([("X", [1])], []) == (INVADERS, 0)


def test_after_the_last_round_the_healthier_side_wins():
    assert winner([("X", [1])], [("Y", [1])]) == (INVADERS, RULES.rounds)
    assert winner([("X", [1])], [("Y", [2])]) == (DEFENDERS, RULES.rounds)
    assert winner([("X", [2])], [("Y", [1])]) == (INVADERS, RULES.rounds)


# -- the data file -----------------------------------------------------------------------------------------


def test_a_step_that_counts_what_it_cannot_is_refused():
    with pytest.raises(ValidationError, match="clear can be of buffs, debuffs"):
        Step(do="clear", of="burning")


def test_a_chart_of_unknown_elements_is_refused():
    data = table().model_dump()
    data["rules"]["beats"]["Fire"] = "Ether"
    with pytest.raises(ValidationError, match="Fire: Ether names no element"):
        DuelTable.model_validate(data)
